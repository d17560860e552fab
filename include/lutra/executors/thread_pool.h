// An Executor over std::thread, for programs without a thread pool of their own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Keeps threads - 1 threads; the caller of ParallelFor is one more. Threads take tasks one by one, so slow threads take
// fewer. Idle threads look for work for kSpin, then they sleep. A call starts in about 1 us if threads are awake, in
// about 50 us if it wakes them.
//
// Thread-safe: while one caller has the threads, others (and tasks that call ParallelFor) run their tasks themselves.
class ThreadPool final : public Executor {
 public:
  // Longer than the work of an engine between two products, and short enough to cost nothing when an engine is idle.
  static constexpr std::chrono::milliseconds kSpin{2};

  // If the system refuses threads or memory is short, starts fewer threads, or none; Concurrency() tells how many.
  // Nothing is allocated later.
  explicit ThreadPool(std::size_t threads = std::thread::hardware_concurrency()) {
    try {
      while (threads_.size() + 1 < threads) threads_.emplace_back([this] { Serve(); });
    } catch (const std::exception&) {
    }
  }
  ~ThreadPool() override {
    Change(kEnd);
    for (std::thread& thread : threads_) thread.join();
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t Concurrency() const override { return threads_.size() + 1; }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    if (count < 2 || threads_.empty() || taken_.exchange(true, std::memory_order_acquire)) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    task_ = task;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    Change(kRound | kOpen);
    RunTasks();
    // Waits for the threads that have joined; others cannot join any more.
    state_.fetch_and(~kOpen);
    WaitUntil([](std::uint64_t state) { return (state & kRunning) == 0; });
    taken_.store(false, std::memory_order_release);
  }

 private:
  // The state: how many of our threads run tasks, whether others may join them, and a number for each round of tasks.
  static constexpr std::uint64_t kRunning = (std::uint64_t{1} << 32) - 1;
  static constexpr std::uint64_t kOpen = std::uint64_t{1} << 32, kEnd = kOpen << 1, kRound = kEnd << 1;

  // Adds to the state, and wakes whoever sleeps. With sequential consistency, either a thread that falls asleep sees
  // the new state, or we see that it sleeps.
  void Change(std::uint64_t difference) {
    state_.fetch_add(difference);
    if (sleeping_.load() == 0) return;
    { const std::lock_guard<std::mutex> lock(mutex_); }
    changed_.notify_all();
  }

  template <class Condition>
  std::uint64_t WaitUntil(const Condition& is_met) {
    for (;;) {
      const auto end = std::chrono::steady_clock::now() + kSpin;
      do {
        if (const std::uint64_t state = state_.load(); is_met(state)) return state;
        std::this_thread::yield();  // to whom this core may belong as well
      } while (std::chrono::steady_clock::now() < end);
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      if (!is_met(state_.load())) changed_.wait(lock);  // once: who comes late to a round is awake for the next
      sleeping_.fetch_sub(1);
    }
  }

  void RunTasks() {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, i);
  }

  void Serve() {
    std::uint64_t seen = 0;  // the round that was joined last
    for (;;) {
      std::uint64_t state =
          WaitUntil([&](std::uint64_t s) { return (s & kEnd) != 0 || ((s & kOpen) != 0 && s / kRound != seen); });
      if ((state & kEnd) != 0) return;
      if (!state_.compare_exchange_strong(state, state + 1)) continue;
      seen = state / kRound;
      RunTasks();
      Change(-std::uint64_t{1});
    }
  }

  alignas(64) std::atomic<std::uint64_t> state_{0};  // apart from next_: all threads look at it all the time
  alignas(64) std::atomic<std::size_t> next_{0};
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::size_t count_ = 0;
  alignas(64) std::atomic<bool> taken_{false};
  std::atomic<std::size_t> sleeping_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;  // the last member: threads use all others
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
