// The C API of products with an engine's own threads and of experts: pieces, teams of threads, row lists.
// lutra/matmul.h, lutra/grouped.h and lutra/executors/team.h say more about the functions of the same names.
//
//     lutra_experts* up = NULL;
//     lutra_experts_create(packed, experts, &up);                             // at load time
//     lutra_routing* routing = NULL;
//     lutra_routing_create(&routing);
//     lutra_routing_assign(routing, ids, tokens, slots, slots, experts);      // every call
//     lutra_grouped_product product = {0};
//     product.w = up;
//     product.x = x;                                                          // prepared: a row for each token
//     lutra_routing_from_tokens(routing, &product.rows);
//     product.y = y_view;                                                     // a row for each token and slot
//     lutra_matmul_grouped(&product, scratch, bytes, context);
//
// What lutra_c.h says of handles, threads and structures holds here, too. Products allocate nothing.
#pragma once

#include "lutra/lutra_c.h"

#if defined(__cplusplus)
extern "C" {
#endif

// --- What Prepare does with x

// NaN and infinity in x: see lutra::NonFinite.
typedef int32_t lutra_non_finite;
enum {
  LUTRA_NON_FINITE_REFUSE = 0,    // an error
  LUTRA_NON_FINITE_PROPAGATE = 1  // rows of x that hold one give rows of NaN
};

// How the activation kind is chosen: see lutra::Choice.
typedef int32_t lutra_choice;
enum { LUTRA_CHOICE_INVARIANT = 0, LUTRA_CHOICE_FASTEST = 1, LUTRA_CHOICE_BITS = 2 };

// Zeros stand for what lutra_prepare does.
typedef struct lutra_prepare_options {
  lutra_precision precision;
  lutra_choice choice;
  lutra_non_finite non_finite;
} lutra_prepare_options;

// lutra_prepare with all options.
LUTRA_C_API lutra_status lutra_prepare_with(const lutra_activation_view* x, const lutra_packed* w,
                                            const lutra_prepare_options* options, lutra_context* context,
                                            lutra_activations* activations) LUTRA_C_NOEXCEPT;

// --- One product in pieces

// Sets *count to the number of pieces into which lutra_matmul splits its work among `threads` threads.
LUTRA_C_API lutra_status lutra_matmul_pieces(const lutra_packed* w, const lutra_activations* x, size_t threads,
                                             size_t* count) LUTRA_C_NOEXCEPT;
// Computes piece `index` of `count`, which may be any number, on the calling thread.
LUTRA_C_API lutra_status lutra_matmul_piece(const lutra_packed* w, const lutra_activations* x,
                                            const lutra_output_view* y, size_t index, size_t count) LUTRA_C_NOEXCEPT;

// --- Threads that an engine has brought: see lutra::Team

typedef struct lutra_team lutra_team;

// Creates a team of `threads` threads, which meet at barrier(state).
LUTRA_C_API lutra_status lutra_team_create(size_t threads, void (*barrier)(void* state), void* state,
                                           lutra_team** team) LUTRA_C_NOEXCEPT;
// Sets *executor to the team's, for lutra_context_create_over. The team must outlive the context.
LUTRA_C_API lutra_status lutra_team_executor(lutra_team* team, lutra_executor* executor) LUTRA_C_NOEXCEPT;
// All threads call this with their number. Thread 0 calls call(argument), which may use the team's context; the others
// serve it. All return after that has returned.
LUTRA_C_API lutra_status lutra_team_serve(lutra_team* team, size_t thread, void (*call)(void* argument),
                                          void* argument) LUTRA_C_NOEXCEPT;
// Frees the team. No thread may be in it.
LUTRA_C_API lutra_status lutra_team_destroy(lutra_team** team) LUTRA_C_NOEXCEPT;

// --- Experts

// Matrices of one shape, format and target.
typedef struct lutra_experts lutra_experts;

// Creates the list of w[0 .. count), which must outlive it.
LUTRA_C_API lutra_status lutra_experts_create(const lutra_packed* const* w, size_t count,
                                              lutra_experts** experts) LUTRA_C_NOEXCEPT;
// Frees the list, not the matrices.
LUTRA_C_API lutra_status lutra_experts_destroy(lutra_experts** experts) LUTRA_C_NOEXCEPT;

// Which rows of x each matrix multiplies, and which rows of y take the products: see lutra::RowLists.
typedef struct lutra_row_lists {
  const int32_t* offsets;  // [matrices + 1]: the entries of each matrix
  size_t size;             // entries
  const int32_t* x_rows;   // [size], or NULL: entry j reads row j
  const int32_t* y_rows;   // [size], or NULL: entry j writes row j
} lutra_row_lists;

// The (token, slot) pairs of a router, sorted by expert. Reuse one for every call: its memory only grows.
typedef struct lutra_routing lutra_routing;

LUTRA_C_API lutra_status lutra_routing_create(lutra_routing** routing) LUTRA_C_NOEXCEPT;
// ids[token * stride + slot] is an expert below `experts`, or negative: none.
LUTRA_C_API lutra_status lutra_routing_assign(lutra_routing* routing, const int32_t* ids, size_t tokens, size_t slots,
                                              size_t stride, size_t experts) LUTRA_C_NOEXCEPT;
// The lists of the first product: x has a row for each token, y a row token * slots + slot. Valid until the next
// lutra_routing_assign.
LUTRA_C_API lutra_status lutra_routing_from_tokens(const lutra_routing* routing,
                                                   lutra_row_lists* rows) LUTRA_C_NOEXCEPT;
// The lists of the product back: x has a row token * slots + slot, y a row for each token.
LUTRA_C_API lutra_status lutra_routing_to_tokens(const lutra_routing* routing, lutra_row_lists* rows) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_routing_destroy(lutra_routing** routing) LUTRA_C_NOEXCEPT;

// How gate and up become one: see lutra::GatedUnit. A slope of 0 stands for 1, a limit of 0 for none.
typedef struct lutra_gated_unit {
  float slope, cubic, limit, offset;
} lutra_gated_unit;
// Initializers: SwiGLU, GELU (as tanh), and the SwiGLU of gpt-oss.
// clang-format off
#define LUTRA_SWIGLU {1.0f, 0.0f, 0.0f, 0.0f}
#define LUTRA_GEGLU {1.59576912f, 0.0713548162f, 0.0f, 0.0f}
#define LUTRA_CLAMPED_SWIGLU {1.702f, 0.0f, 7.0f, 1.0f}
// clang-format on

// Products of some rows of x with each of several matrices: see lutra::GroupedProduct.
typedef struct lutra_grouped_product {
  const lutra_experts* w;
  const lutra_experts* gate;  // as many, or NULL
  lutra_gated_unit unit;      // read if there is a gate
  const lutra_activations* x;
  lutra_row_lists rows;
  const float* weights;  // [rows of x], or NULL: products are not added up
  lutra_output_view y;
} lutra_grouped_product;

// Sets *bytes to the scratch memory that each thread of a product with w and x needs, aligned to 64 bytes.
LUTRA_C_API lutra_status lutra_grouped_scratch_size(const lutra_experts* w, const lutra_activations* x,
                                                    size_t* bytes) LUTRA_C_NOEXCEPT;
// Computes the product on as many of the context's threads as `scratch` is enough for: fails as lutra::MatMulGrouped.
LUTRA_C_API lutra_status lutra_matmul_grouped(const lutra_grouped_product* product, void* scratch, size_t bytes,
                                              lutra_context* context) LUTRA_C_NOEXCEPT;
// The same in pieces, as lutra_matmul_pieces and lutra_matmul_piece.
LUTRA_C_API lutra_status lutra_matmul_grouped_pieces(const lutra_grouped_product* product, size_t threads,
                                                     size_t* count) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_matmul_grouped_piece(const lutra_grouped_product* product, size_t index, size_t count,
                                                    void* scratch, size_t bytes) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}
#endif
