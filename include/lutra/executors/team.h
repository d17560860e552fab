// An Executor over threads that an engine has brought anyway: they serve the calls of one of them.
#pragma once

#include <atomic>
#include <cstddef>

#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Engines such as ggml run all their threads through each step, and give each its number and a barrier. All of them
// call Serve. Thread 0 then makes calls of Lutra with this executor, while the others work on its tasks:
//
//     lutra::Team team(nth, barrier, state);                           // shared by the threads
//     team.Serve(ith, [&] { status = lutra::MatMul(w, x, y, context); });  // on each; context.executor is &team
//
// `barrier(state)` returns once each of the `threads` threads has called it since it returned last; what one thread
// wrote before it must be visible to the others behind it. A Team serves any number of steps.
class Team final : public Executor {
 public:
  Team(std::size_t threads, void (*barrier)(void* state), void* state)
      : threads_(threads), barrier_(barrier), state_(state) {}

  // Thread 0 calls call(). All return after that has returned. Only call() may use this executor.
  template <class Call>
  void Serve(std::size_t thread, const Call& call) {
    if (thread == 0) {
      call();
      Run(0, nullptr, nullptr);
    } else {
      while (Serve() != nullptr) {
      }
    }
  }

  std::size_t Concurrency() const override { return threads_; }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    if (count != 0) Run(count, task, context);
  }

 private:
  void Run(std::size_t count, Task task, void* context) {
    count_ = count;
    task_ = task;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
    Serve();
  }
  // Runs tasks between two barriers. No thread passes the second before all have read what to run.
  Task Serve() {
    barrier_(state_);
    const Task task = task_;
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task(context_, i);
    barrier_(state_);
    return task;
  }

  const std::size_t threads_;
  void (*const barrier_)(void* state);
  void* const state_;
  std::size_t count_ = 0;
  Task task_ = nullptr;  // null: the step is over
  void* context_ = nullptr;
  alignas(64) std::atomic<std::size_t> next_{0};
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
