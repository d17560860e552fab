// ForkCheck: tells whether an object was made by another process, of which this one is a fork.
#pragma once

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// A child process has none of its parent's threads, and locks that they held stay locked. An executor that was made by
// the parent must not touch its threads and locks there.
class ForkCheck {
 public:
  // True in a child that fork() made after this object. (Not in one that vfork() or a bare clone() made: such a child
  // may only call exec.)
  bool forked() const { return made_ != Forks().load(std::memory_order_relaxed); }
  // False if the system could not register the check, for lack of memory. There must be no threads then.
  bool works() const { return works_; }

 private:
  // The forks that this process descends from, counted since the first check.
  static std::atomic<unsigned>& Forks() {
    static std::atomic<unsigned> forks{0};
    return forks;
  }
  static bool Register() {
#if defined(__unix__) || defined(__APPLE__)
    static const bool registered =
        pthread_atfork(nullptr, nullptr, [] { Forks().fetch_add(1, std::memory_order_relaxed); }) == 0;
    return registered;
#else
    return true;  // no fork
#endif
  }

  const bool works_ = Register();
  const unsigned made_ = Forks().load(std::memory_order_relaxed);
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
