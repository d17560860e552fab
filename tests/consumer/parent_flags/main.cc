// Compiles all headers of the API without exceptions and run-time types, and compares the bits of results.
#include <cinttypes>
#include <cstdio>

#include "lutra/executors/thread_pool.h"
#include "lutra/gguf_file.h"
#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/plan.h"
#include "lutra/sampled_error.h"
#include "support/golden.h"

#if !defined(__FAST_MATH__) || defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "The flags of this project are not those that it tests."
#endif

int main() {
  int wrong = 0;
  lutra::ThreadPool pool(2);
  for (const lutra::test::Golden& golden : lutra::test::kGolden) {
    for (const lutra::Target target : lutra::RunnableTargets()) {
      const std::uint64_t checksum = lutra::test::ChecksumOf(golden.format, golden.precision, target, &pool);
      if (checksum == golden.checksum) continue;
      std::printf("%s %s on %s: %016" PRIx64 "\n", lutra::Name(golden.format), lutra::Name(golden.precision),
                  lutra::TargetName(target), checksum);
      ++wrong;
    }
  }
  lutra_context* context = nullptr;
  if (lutra_context_create(2, &context).code != LUTRA_OK || lutra_context_concurrency(context) != 2 ||
      lutra_context_destroy(&context).code != LUTRA_OK) {
    std::printf("no context\n");
    ++wrong;
  }
  std::printf("%d wrong\n", wrong);
  return wrong == 0 ? 0 : 1;
}
