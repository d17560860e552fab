// The C API: status, version, targets, threads. lutra_c.h includes it, and says what holds for all functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Exports a function from a shared library, and says to C++ that it does not throw.
#if !defined(LUTRA_SHARED)
#define LUTRA_C_API
#elif !defined(_WIN32)
#define LUTRA_C_API __attribute__((visibility("default")))
#elif defined(lutra_EXPORTS)
#define LUTRA_C_API __declspec(dllexport)
#else
#define LUTRA_C_API __declspec(dllimport)
#endif
#if defined(__cplusplus)
#define LUTRA_C_NOEXCEPT noexcept
extern "C" {
#else
#define LUTRA_C_NOEXCEPT
#endif

// --- Status, version, targets

// The code of a lutra_status.
typedef int32_t lutra_status_code;
enum {
  LUTRA_OK = 0,
  LUTRA_INVALID_ARGUMENT = 1,  // the call can never succeed with these arguments
  LUTRA_UNSUPPORTED = 2,       // valid, but not on this CPU or in this build
  LUTRA_OUT_OF_MEMORY = 3,
  LUTRA_IO = 4  // a file cannot be opened, read or written
};

// The argument that is wrong, and the reason. The texts are constants of the library; do not free them. A reason may
// name a constant by its C++ name: kF16 is LUTRA_TYPE_F16.
typedef struct lutra_status {
  lutra_status_code code;
  const char* argument;  // e.g. "w.scales"; "" if ok
  const char* reason;    // e.g. "holds a value that is not finite"; "" if ok
} lutra_status;

// Writes "argument: reason", or "ok", to buffer[0 .. size), cut if it is too long and ending in a 0. Writes nothing if
// size is 0 or buffer is NULL. Returns the length of the whole message, without the 0.
LUTRA_C_API size_t lutra_status_message(lutra_status status, char* buffer, size_t size) LUTRA_C_NOEXCEPT;

// "major.minor.patch" of the library that is linked. Before 1.0 a minor version may change this API. Names of C
// functions hold no version. If a program links two versions statically, the linker reports names that are defined
// twice, or takes all functions from the first version. So compare with lutra/version.h at start.
LUTRA_C_API const char* lutra_version(void) LUTRA_C_NOEXCEPT;

// The targets (instruction sets) that this CPU can run, the best first; at least one. A name ("AVX2", "NEON") is a
// constant of the library; NULL if the index is too large.
LUTRA_C_API size_t lutra_target_count(void) LUTRA_C_NOEXCEPT;
LUTRA_C_API const char* lutra_target_name(size_t index) LUTRA_C_NOEXCEPT;
// Whether there is a target of this name that this CPU can run. False for NULL.
LUTRA_C_API bool lutra_target_exists(const char* name) LUTRA_C_NOEXCEPT;

// --- Threads

// A task of Lutra: call it with the context that parallel_for received.
typedef void (*lutra_task)(void* context, size_t index);

// The caller's own thread pool.
typedef struct lutra_executor {
  // Calls task(context, i) once for each i in [0, count), in any order, on any threads, and returns when all have
  // returned. Neither throws nor jumps out. May be called by several threads at a time if they share the context.
  void (*parallel_for)(void* state, size_t count, lutra_task task, void* context);
  void* state;         // passed on to parallel_for; must outlive the context
  size_t concurrency;  // how many tasks can run at the same time; at least 1
} lutra_executor;

// The threads that a call may use. Where a function takes a context, NULL stands for the calling thread alone.
typedef struct lutra_context lutra_context;

// The largest number of threads of lutra_context_create: more than a machine has cores; larger is an error.
#define LUTRA_MAX_THREADS 1024

// The stack, in bytes, that any function, and any task on a thread of a lutra_executor, takes at most where Lutra is
// compiled with optimization: see lutra::kMaxStackBytes.
#define LUTRA_MAX_STACK_BYTES 98304

// Creates a context with threads of its own. The caller counts as one of `threads`; 0: one for each processor. Idle
// threads sleep after 2 ms. If the system refuses threads, there are fewer: see lutra_context_concurrency. While one
// call uses the threads, other calls that share the context run on the threads of their callers. A child that fork()
// makes has no threads of the context: calls run on its own thread, and it may destroy the context.
LUTRA_C_API lutra_status lutra_context_create(size_t threads, lutra_context** context) LUTRA_C_NOEXCEPT;

// Creates a context over the threads of *executor, which is copied.
LUTRA_C_API lutra_status lutra_context_create_over(const lutra_executor* executor,
                                                   lutra_context** context) LUTRA_C_NOEXCEPT;

// How many tasks can run at the same time. 1 for NULL; 0 for a handle that is not a context.
LUTRA_C_API size_t lutra_context_concurrency(const lutra_context* context) LUTRA_C_NOEXCEPT;

// Ends the context's own threads. No call may be using it.
LUTRA_C_API lutra_status lutra_context_destroy(lutra_context** context) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}
#endif
