// The serial executor, which runs all tasks on the calling thread.
#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

class Serial final : public Executor {
 public:
  std::size_t Concurrency() const override { return 1; }
  void ParallelFor(std::size_t count, Task task, void* context) override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }
};

}  // namespace

Executor& functions::SerialExecutor() {
  static Serial serial;
  return serial;
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
