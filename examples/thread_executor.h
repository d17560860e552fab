// An Executor over std::thread, for those who have no thread pool of their own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "lutra/executor.h"

namespace lutra::examples {

// Keeps threads - 1 threads waiting; the caller of ParallelFor is the last one. One call at a time.
class ThreadExecutor : public Executor {
 public:
  explicit ThreadExecutor(std::size_t threads) {
    while (threads_.size() + 1 < threads) threads_.emplace_back([this] { Serve(); });
  }
  ~ThreadExecutor() override {
    Announce(nullptr, nullptr, 0);
    for (std::thread& thread : threads_) thread.join();
  }

  std::size_t Concurrency() const override { return threads_.size() + 1; }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    Announce(task, context, count);
    RunTasks();
    Spin([this] { return busy_ == 0; });
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  // Waits a little for what comes soon, as the next layer does: waking a thread takes longer than many a product.
  template <class Condition>
  static void Spin(const Condition& is_true) {
    for (int i = 0; i < 20000 && !is_true(); ++i) {
    }
  }

  // A null task asks the threads to end.
  void Announce(Task task, void* context, std::size_t count) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_ = 0;
      busy_ = threads_.size();
      ++round_;
    }
    start_.notify_all();
  }

  void RunTasks() {
    for (std::size_t i; (i = next_++) < count_;) task_(context_, i);
  }

  void Serve() {
    for (std::uint64_t seen = 0;; ++seen) {
      Spin([&] { return round_ != seen; });
      {
        std::unique_lock<std::mutex> lock(mutex_);
        start_.wait(lock, [&] { return round_ != seen; });
        if (task_ == nullptr) return;
      }
      RunTasks();
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_, done_;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::size_t count_ = 0;
  std::atomic<std::size_t> busy_{0};
  std::atomic<std::uint64_t> round_{0};  // each thread takes part in every round, so none can be missed
  std::atomic<std::size_t> next_{0};
  std::vector<std::thread> threads_;  // last: they use what stands above
};

}  // namespace lutra::examples
