// The C API: status, version, targets and threads.
#include <cstdio>

#include "c_api/c_api.h"
#include "lutra/executors/thread_pool.h"

using lutra::Status;
using namespace lutra::c_api;

static_assert(LUTRA_MAX_THREADS == lutra::kMaxThreads && LUTRA_MAX_STACK_BYTES == lutra::kMaxStackBytes);

namespace {

// An Executor over the callbacks of a C program.
class CallbackExecutor final : public lutra::Executor {
 public:
  explicit CallbackExecutor(const lutra_executor& executor) : executor_(executor) {}
  std::size_t Concurrency() const override { return executor_.concurrency; }
  void ParallelFor(std::size_t count, Task task, void* context) override {
    executor_.parallel_for(executor_.state, count, task, context);
  }

 private:
  const lutra_executor executor_;
};

// Moves an executor into a new handle; `executor` is null if memory was short. (The thread pool is a header for C++
// programs. For other languages it is compiled in this file, which a static library links only into programs that use
// the C API.)
Status GiveContext(std::unique_ptr<lutra::Executor> executor, lutra_context** context) {
  if (executor == nullptr) return Status::OutOfMemory("context");
  return Give(std::move(executor), "context", context);
}

}  // namespace

// --- Status, version, targets

size_t lutra_status_message(lutra_status status, char* buffer, size_t size) noexcept {
  if (buffer == nullptr) size = 0;
  const auto text = [](const char* t) { return t != nullptr ? t : ""; };
  const int length = status.code == LUTRA_OK
                         ? std::snprintf(buffer, size, "ok")
                         : std::snprintf(buffer, size, "%s: %s", text(status.argument), text(status.reason));
  return length < 0 ? 0 : static_cast<size_t>(length);
}

#define LUTRA_TEXT_OF(number) #number
#define LUTRA_VERSION_OF(major, minor, patch) LUTRA_TEXT_OF(major) "." LUTRA_TEXT_OF(minor) "." LUTRA_TEXT_OF(patch)
const char* lutra_version() noexcept {
  return LUTRA_VERSION_OF(LUTRA_VERSION_MAJOR, LUTRA_VERSION_MINOR, LUTRA_VERSION_PATCH);
}

size_t lutra_target_count() noexcept { return lutra::RunnableTargets().size; }

const char* lutra_target_name(size_t index) noexcept {
  const lutra::TargetList targets = lutra::RunnableTargets();
  return index < targets.size ? lutra::TargetName(targets.data[index]) : nullptr;
}

bool lutra_target_exists(const char* name) noexcept { return lutra::FindTarget(name) != nullptr; }

// --- Threads

lutra_status lutra_context_create(size_t threads, lutra_context** context) noexcept {
  Status status = CheckNotNull(context, "context");
  if (threads > LUTRA_MAX_THREADS) status = Status::Invalid("threads", "is above LUTRA_MAX_THREADS");
  if (!status.ok()) return ToC(status);
  return ToC(GiveContext(std::unique_ptr<lutra::Executor>(new (std::nothrow) lutra::ThreadPool(threads)), context));
}

lutra_status lutra_context_create_over(const lutra_executor* executor, lutra_context** context) noexcept {
  Status status = FirstError({CheckNotNull(executor, "executor"), CheckNotNull(context, "context")});
  if (!status.ok()) return ToC(status);
  status = CheckNotNull(reinterpret_cast<const void*>(executor->parallel_for), "executor.parallel_for");
  if (executor->concurrency == 0) status = Status::Invalid("executor.concurrency", "is 0");
  if (!status.ok()) return ToC(status);
  return ToC(GiveContext(std::unique_ptr<lutra::Executor>(new (std::nothrow) CallbackExecutor(*executor)), context));
}

size_t lutra_context_concurrency(const lutra_context* context) noexcept {
  if (context == nullptr) return 1;
  return CheckContext(context).ok() ? context->value->Concurrency() : 0;
}

lutra_status lutra_context_destroy(lutra_context** context) noexcept { return ToC(Destroy(context, "context")); }
