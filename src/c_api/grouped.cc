// The C API of pieces, teams of threads and grouped products.
#include <limits>

#include "c_api/c_api.h"
#include "lutra/executors/team.h"
#include "lutra/lutra_c_grouped.h"

using lutra::Status;
using namespace lutra::c_api;

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace c_api {

// The matrices of lutra_experts: pointers into the handles.
struct Pointers {
  Buffer buffer;
  std::size_t count = 0;
  MatrixList list() const { return {buffer.as<const PackedMatrix*>(), count}; }
};

}  // namespace c_api
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra

struct lutra_experts : lutra::c_api::Handle<lutra::c_api::Pointers, 6> {};
struct lutra_routing : lutra::c_api::Handle<lutra::Routing, 7> {};
struct lutra_team : lutra::c_api::Handle<std::unique_ptr<lutra::Team>, 8> {};

// --- Prepare

lutra_status lutra_prepare_with(const lutra_activation_view* x, const lutra_packed* w,
                                const lutra_prepare_options* options, lutra_context* context,
                                lutra_activations* activations) noexcept {
  const Status status = FirstError({CheckNotNull(x, "x"), CheckHandle(w, "w"), CheckNotNull(options, "options"),
                                    CheckContext(context), CheckHandle(activations, "activations")});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  const lutra::PrepareOptions given(FromC<lutra::Precision>(options->precision), FromC<lutra::Choice>(options->choice),
                                    FromC<lutra::NonFinite>(options->non_finite));
  return ToC(lutra::Prepare(FromC(*x), w->value, given, call, &activations->value));
}

// --- Pieces

lutra_status lutra_matmul_pieces(const lutra_packed* w, const lutra_activations* x, size_t threads,
                                 size_t* count) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x")});
  if (status.ok()) status = lutra::MatMulPieces(w->value, x->value, threads, count);
  return ToC(status);
}

lutra_status lutra_matmul_piece(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                                size_t index, size_t count) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y")});
  if (status.ok()) status = lutra::MatMulPiece(w->value, x->value, FromC(*y), index, count);
  return ToC(status);
}

// --- Teams

lutra_status lutra_team_create(size_t threads, void (*barrier)(void*), void* state, lutra_team** team) noexcept {
  Status status = CheckNotNull(team, "team");
  if (status.ok() && barrier == nullptr) status = Status::Invalid("barrier", "is null");
  if (status.ok() && threads == 0) status = Status::Invalid("threads", "is 0");
  if (!status.ok()) return ToC(status);
  std::unique_ptr<lutra::Team> value(new (std::nothrow) lutra::Team(threads, barrier, state));
  return ToC(value == nullptr ? Status::OutOfMemory("team") : Give(std::move(value), "team", team));
}

lutra_status lutra_team_executor(lutra_team* team, lutra_executor* executor) noexcept {
  const Status status = FirstError({CheckHandle(team, "team"), CheckNotNull(executor, "executor")});
  if (!status.ok()) return ToC(status);
  executor->parallel_for = [](void* state, size_t count, lutra_task task, void* context) {
    static_cast<lutra::Team*>(state)->ParallelFor(count, task, context);
  };
  executor->state = team->value.get();
  executor->concurrency = team->value->Concurrency();
  return ToC(status);
}

lutra_status lutra_team_serve(lutra_team* team, size_t thread, void (*call)(void*), void* argument) noexcept {
  Status status = CheckHandle(team, "team");
  if (status.ok() && call == nullptr) status = Status::Invalid("call", "is null");
  if (status.ok()) team->value->Serve(thread, [&] { call(argument); });
  return ToC(status);
}

lutra_status lutra_team_destroy(lutra_team** team) noexcept { return ToC(Destroy(team, "team")); }

// --- Experts

lutra_status lutra_experts_create(const lutra_packed* const* w, size_t count, lutra_experts** experts) noexcept {
  Status status = FirstError({CheckNotNull(w, "w"), CheckNotNull(experts, "experts")});
  for (size_t i = 0; i < count && status.ok(); ++i) status = CheckHandle(w[i], "w");
  Pointers pointers;
  if (status.ok() && !pointers.buffer.Reserve(count * sizeof(void*))) status = Status::OutOfMemory("experts");
  if (!status.ok()) return ToC(status);
  for (size_t i = 0; i < count; ++i) pointers.buffer.as<const lutra::PackedMatrix*>()[i] = &w[i]->value;
  pointers.count = count;
  return ToC(Give(std::move(pointers), "experts", experts));
}

lutra_status lutra_experts_destroy(lutra_experts** experts) noexcept { return ToC(Destroy(experts, "experts")); }

lutra_status lutra_routing_create(lutra_routing** routing) noexcept {
  Status status = CheckNotNull(routing, "routing");
  if (status.ok()) status = Give(lutra::Routing(), "routing", routing);
  return ToC(status);
}

lutra_status lutra_routing_assign(lutra_routing* routing, const int32_t* ids, size_t tokens, size_t slots,
                                  size_t stride, size_t experts) noexcept {
  Status status = CheckHandle(routing, "routing");
  if (status.ok()) status = routing->value.Assign(ids, tokens, slots, stride, experts);
  return ToC(status);
}

namespace {

lutra_row_lists ListsOf(const lutra::RowLists& rows) { return {rows.offsets, rows.size, rows.x_rows, rows.y_rows}; }

Status CheckLists(const lutra_routing* routing, const lutra_row_lists* rows) {
  return FirstError({CheckHandle(routing, "routing"), CheckNotNull(rows, "rows")});
}

}  // namespace

lutra_status lutra_routing_from_tokens(const lutra_routing* routing, lutra_row_lists* rows) noexcept {
  const Status status = CheckLists(routing, rows);
  if (status.ok()) *rows = ListsOf(routing->value.FromTokens());
  return ToC(status);
}

lutra_status lutra_routing_to_tokens(const lutra_routing* routing, lutra_row_lists* rows) noexcept {
  const Status status = CheckLists(routing, rows);
  if (status.ok()) *rows = ListsOf(routing->value.ToTokens());
  return ToC(status);
}

lutra_status lutra_routing_destroy(lutra_routing** routing) noexcept { return ToC(Destroy(routing, "routing")); }

// --- Grouped products

namespace {

Status Read(const lutra_grouped_product* p, lutra::GroupedProduct* product) {
  Status status = CheckNotNull(p, "product");
  if (status.ok()) status = FirstError({CheckHandle(p->w, "w"), CheckHandle(p->x, "x")});
  if (status.ok() && p->gate != nullptr) status = CheckHandle(p->gate, "gate");
  if (!status.ok()) return status;
  product->w = p->w->value.list();
  if (p->gate != nullptr) product->gate = p->gate->value.list();
  product->unit = {p->unit.slope != 0 ? p->unit.slope : 1.0f, p->unit.cubic,
                   p->unit.limit != 0 ? p->unit.limit : std::numeric_limits<float>::infinity(), p->unit.offset};
  product->x = &p->x->value;
  product->rows = {p->rows.offsets, p->rows.size, p->rows.x_rows, p->rows.y_rows};
  product->weights = p->weights;
  product->y = FromC(p->y);
  return {};
}

}  // namespace

lutra_status lutra_grouped_scratch_size(const lutra_experts* w, const lutra_activations* x, size_t* bytes) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x")});
  if (status.ok() && w->value.count == 0) status = Status::Invalid("w", "is empty");
  if (status.ok()) status = lutra::GroupedScratchSize(w->value.list()[0], x->value, bytes);
  return ToC(status);
}

lutra_status lutra_matmul_grouped(const lutra_grouped_product* product, void* scratch, size_t bytes,
                                  lutra_context* context) noexcept {
  lutra::GroupedProduct p;
  Status status = Read(product, &p);
  if (status.ok()) status = CheckContext(context);
  if (status.ok()) status = lutra::MatMulGrouped(p, ContextOf(context).executor, scratch, bytes);
  return ToC(status);
}

lutra_status lutra_matmul_grouped_pieces(const lutra_grouped_product* product, size_t threads, size_t* count) noexcept {
  lutra::GroupedProduct p;
  Status status = Read(product, &p);
  if (status.ok()) status = lutra::MatMulGroupedPieces(p, threads, count);
  return ToC(status);
}

lutra_status lutra_matmul_grouped_piece(const lutra_grouped_product* product, size_t index, size_t count, void* scratch,
                                        size_t bytes) noexcept {
  lutra::GroupedProduct p;
  Status status = Read(product, &p);
  if (status.ok()) status = lutra::MatMulGroupedPiece(p, index, count, scratch, bytes);
  return ToC(status);
}
