// An Executor with threads of its own, for programs without a thread pool of their own.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>

#include "lutra/executor.h"
#include "lutra/executors/fork.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Keeps threads - 1 threads; the caller of ParallelFor is one more. Threads take tasks one by one, so slow threads take
// fewer. Idle threads look for work for kSpin, then they sleep. A call starts in about 1 us if threads are awake, in
// about 50 us if it wakes them.
//
// Thread-safe: while one caller has the threads, others (and tasks that call ParallelFor) run their tasks themselves.
//
// A forked child has no threads: there, tasks run on the calling thread, and the destructor does not wait for any. A
// child that wants threads makes a pool of its own. Tasks must not fork, except to call exec.
class ThreadPool final : public Executor {
 public:
  // Longer than the work of an engine between two products, and short enough to cost nothing when an engine is idle.
  static constexpr std::chrono::milliseconds kSpin{2};

  // 0 threads: one for each processor. If the system refuses threads or memory is short, starts fewer threads, or none;
  // Concurrency() tells how many. Nothing is allocated later.
  explicit ThreadPool(std::size_t threads = 0) : status_(internal::CheckThreads(threads)) {
    if (threads == 0) threads = std::thread::hardware_concurrency();
    if (!status_.ok() || threads < 2 || !fork_.works()) return;
    threads_.reset(new (std::nothrow) pthread_t[threads - 1]);
    if (threads_ == nullptr) return;
    while (started_ + 1 < threads && pthread_create(&threads_[started_], nullptr, Run, this) == 0) ++started_;
  }
  ~ThreadPool() override {
    if (fork_.forked()) return;  // threads sleep on changed_, for ever
    Change(kEnd);
    for (std::size_t i = 0; i < started_; ++i) pthread_join(threads_[i], nullptr);
    pthread_cond_destroy(&changed_);
    pthread_mutex_destroy(&mutex_);
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Fails on more than kMaxThreads threads; the pool then has none.
  Status status() const { return status_; }

  std::size_t Concurrency() const override { return fork_.forked() ? 1 : started_ + 1; }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    if (count < 2 || Concurrency() == 1 || taken_.exchange(true, std::memory_order_acquire)) {
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
    pthread_mutex_lock(&mutex_);
    pthread_mutex_unlock(&mutex_);
    pthread_cond_broadcast(&changed_);
  }

  template <class Condition>
  std::uint64_t WaitUntil(const Condition& is_met) {
    for (;;) {
      const auto end = std::chrono::steady_clock::now() + kSpin;
      do {
        if (const std::uint64_t state = state_.load(); is_met(state)) return state;
        std::this_thread::yield();  // to whom this core may belong as well
      } while (std::chrono::steady_clock::now() < end);
      pthread_mutex_lock(&mutex_);
      sleeping_.fetch_add(1);
      if (!is_met(state_.load()))
        pthread_cond_wait(&changed_, &mutex_);  // once: who is late is awake for the next round
      sleeping_.fetch_sub(1);
      pthread_mutex_unlock(&mutex_);
    }
  }

  void RunTasks() {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, i);
  }

  static void* Run(void* pool) {
    static_cast<ThreadPool*>(pool)->Serve();
    return nullptr;
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
  // As POSIX has them: nothing throws, and a forked child can leave them as they are.
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
  const internal::ForkCheck fork_;
  const Status status_;
  std::unique_ptr<pthread_t[]> threads_;
  std::size_t started_ = 0;  // the last member: threads use all others
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
