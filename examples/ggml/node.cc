// See node.h.
#include "node.h"

#include <cstring>

namespace plugin {
namespace {

std::size_t Rows(const ggml_tensor* x) { return static_cast<std::size_t>(ggml_nrows(x)); }
// Whether the rows of a tensor of floats follow each other at one distance.
bool HasEvenRows(const ggml_tensor* x) {
  return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->nb[1] % sizeof(float) == 0 &&
         x->nb[2] == x->nb[1] * static_cast<std::size_t>(x->ne[1]) &&
         x->nb[3] == x->nb[2] * static_cast<std::size_t>(x->ne[2]);
}
bool HasEvenIds(const ggml_tensor* ids) {
  return ids->type == GGML_TYPE_I32 && ids->nb[0] == sizeof(std::int32_t) && ids->ne[2] == 1 && ids->ne[3] == 1;
}

lutra::ActivationView ViewOfX(const ggml_tensor* x) {
  return {static_cast<const float*>(x->data), Rows(x), static_cast<std::size_t>(x->ne[0]), x->nb[1] / sizeof(float)};
}
lutra::OutputView ViewOfY(const ggml_tensor* y) {
  return {static_cast<float*>(y->data), Rows(y), static_cast<std::size_t>(y->ne[0]), y->nb[1] / sizeof(float)};
}

lutra::Status View(const void* at, Prepared* p) {
  return lutra::ViewActivations(*p->w, Rows(p->x), p->options, at, p->size, &p->rows);
}

}  // namespace

bool Multiplies(const ggml_tensor* op) {
  const ggml_tensor *w = op->src[0], *x = op->src[1];
  if (x == nullptr || !IsPacked(w) || w->view_src != nullptr || !CanPack(w) || !HasEvenRows(op)) return false;
  switch (op->op) {
    case GGML_OP_MUL_MAT:
      return w->ne[2] == 1 && HasEvenRows(x);
    case GGML_OP_MUL_MAT_ID:
      return HasEvenRows(x) && x->ne[3] == 1 && HasEvenIds(op->src[2]);
    case GGML_OP_GET_ROWS:
      // llama.cpp asks before it gives a tensor memory. A table alone stays in the file's mapping (graph.cc).
      return w->extra != nullptr && w->ne[2] == 1 && HasEvenIds(x) && x->ne[1] == 1;
    default:
      return false;
  }
}

void Barrier::Wait(std::size_t threads) {
  const unsigned turn = turn_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    arrived_.store(0, std::memory_order_relaxed);
    turn_.fetch_add(1, std::memory_order_release);
    return;
  }
  while (turn_.load(std::memory_order_acquire) == turn) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }
}

lutra::Status Workspace::Find(const ggml_tensor* x, const Weights& w, Prepared** prepared, bool* added) {
  alignas(lutra::PackedLayout::kAlignment) static const std::uint8_t nowhere[1] = {};  // until all sizes are known
  for (std::size_t i = prepared_.size(); i-- > 0 && prepared_.size() - i <= kKept;) {
    Prepared& p = prepared_[i];
    if (p.x != x || !p.rows.Fits(w.matrices()[0]) || p.options.precision != w.options().precision) continue;
    *prepared = &p;
    return {};
  }
  prepared_.push_back({x, &w.matrices()[0], w.options(), 0, nullptr, {}});
  *prepared = &prepared_.back();
  *added = true;
  const lutra::Status status = lutra::PreparedSize(w.matrices()[0], Rows(x), w.options(), &prepared_.back().size);
  return status.ok() ? View(nowhere, *prepared) : status;
}

lutra::Status Workspace::Allocate() {
  for (std::size_t i = 0; i < prepared_.size(); ++i) {
    prepared_[i].memory = &memory_[i % kKept];
    if (!prepared_[i].memory->Reserve(prepared_[i].size)) return lutra::Status::OutOfMemory("x");
  }
  for (Prepared& p : prepared_) {
    const lutra::Status status = View(p.memory->data(), &p);
    if (!status.ok()) return status;
  }
  return {};
}

void Node::Replace(ggml_custom_op_t run, void* data) {
  tensor_op_ = tensor_->op;
  std::memcpy(params_, tensor_->op_params, sizeof(params_));
  // ggml's own function writes the parameters of a custom operation.
  alignas(16) char memory[1024];
  ggml_context* const context = ggml_init({sizeof(memory), memory, true});
  const ggml_tensor* const custom =
      ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, run, GGML_N_TASKS_MAX, data);
  std::memcpy(tensor_->op_params, custom->op_params, sizeof(params_));
  ggml_free(context);
  tensor_->op = GGML_OP_CUSTOM;
}

void Node::Restore() const {
  tensor_->op = tensor_op_;
  std::memcpy(tensor_->op_params, params_, sizeof(params_));
}

lutra::Status Node::Plan(std::size_t threads, Workspace* workspace) {
  if (!weights().valid())
    return lutra::Status::Invalid("w", "is not packed: not all of its bytes were written, or the log names a failure");
  planned_threads_ = threads;
  workspace_ = workspace;
  if (tensor_->op == GGML_OP_GET_ROWS) return {};
  lutra::Status status = workspace->Find(tensor_->src[1], weights(), &x_, &prepares_);
  if (!status.ok()) return status;
  if (tensor_->op == GGML_OP_MUL_MAT) {
    return lutra::MatMulPieces(weights().matrices()[0], x_->rows, threads, &pieces_);
  }
  status = lutra::GroupedScratchSize(weights().matrices()[0], x_->rows, &scratch_size_);
  scratch_size_ = (scratch_size_ + 63) / 64 * 64;
  return status.ok() && !workspace->scratch.Reserve(threads * scratch_size_) ? lutra::Status::OutOfMemory("scratch")
                                                                             : status;
}

// The rows of x that each expert multiplies, as the router's ids say. x has a row for each token, or for each pair of a
// token and a slot.
lutra::Status Node::Route() {
  const ggml_tensor* const ids = tensor_->src[2];
  const lutra::Status status =
      workspace_->routing.Assign(static_cast<const std::int32_t*>(ids->data), static_cast<std::size_t>(ids->ne[1]),
                                 static_cast<std::size_t>(ids->ne[0]), ids->nb[1] / sizeof(std::int32_t),
                                 static_cast<std::size_t>(tensor_->src[0]->ne[2]));
  return status.ok() ? lutra::MatMulGroupedPieces(Grouped(), planned_threads_, &pieces_) : status;
}

lutra::GroupedProduct Node::Grouped() const {
  lutra::GroupedProduct product;
  product.w = {weights().matrices().data(), weights().matrices().size()};
  product.x = &x_->rows;
  product.rows = workspace_->routing.FromTokens();
  if (tensor_->src[1]->ne[1] != 1) product.rows.x_rows = product.rows.y_rows;
  product.y = ViewOfY(tensor_);
  return product;
}

lutra::Status Node::Begin(std::size_t thread, std::size_t threads) {
  lutra::Status status;
  if (tensor_op_ == GGML_OP_MUL_MAT_ID && thread == 0) status = Route();
  if (!prepares_) return status;
  const lutra::Status prepared = lutra::PreparePart(ViewOfX(x_->x), weights().matrices()[0], x_->options, thread,
                                                    threads, x_->memory->data(), x_->size);
  return status.ok() ? prepared : status;
}

lutra::Status Node::Finish(std::size_t thread, std::size_t threads) {
  if (tensor_op_ == GGML_OP_GET_ROWS) return GetRows(thread, threads);
  for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < pieces_;) {
    const lutra::Status status =
        tensor_op_ == GGML_OP_MUL_MAT
            ? lutra::MatMulPiece(weights().matrices()[0], x_->rows, ViewOfY(tensor_), i, pieces_)
            : lutra::MatMulGroupedPiece(Grouped(), i, pieces_, workspace_->scratch.data() + thread * scratch_size_,
                                        scratch_size_);
    if (!status.ok()) return status;
  }
  return {};
}

lutra::Status Node::GetRows(std::size_t thread, std::size_t threads) const {
  const ggml_tensor* const ids = tensor_->src[1];
  const auto count = static_cast<std::size_t>(ids->ne[0]);
  const std::size_t begin = count * thread / threads, end = count * (thread + 1) / threads;
  const lutra::OutputView y = ViewOfY(tensor_);
  return lutra::DequantizeRows(weights().matrices()[0], static_cast<const std::int32_t*>(ids->data) + begin,
                               end - begin, static_cast<float*>(y.data) + begin * y.row_stride, y.row_stride);
}

}  // namespace plugin
