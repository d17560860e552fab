// The umbrella header: includes the whole C++ API except executors, sampled_error.h and the kernel templates.
//
//     lutra::QuantizeOptions options;
//     options.format = lutra::Format::kInt2;
//     lutra::QuantizedMatrix q;  // or a QuantizedView of a model's own codes
//     lutra::Quantize(weights, M, K, K, options, &q);
//     lutra::PackedMatrix w;
//     lutra::Pack(q.view(), &w);  // at load time
//
//     lutra::Context context;  // keeps memory from call to call
//     lutra::MatMul(w, lutra::ActivationView(x, N, K), lutra::OutputView(y, N, M), context);  // y[N x M] = x * W^T
//
// Where several matrices read the same x, prepare it once:
//
//     lutra::Activations activations;
//     lutra::Prepare(lutra::ActivationView(x, N, K), w, {}, context, &activations);
//     lutra::MatMul(w, activations, lutra::OutputView(y, N, M), context);
//
// Each function returns a Status; check it.
#pragma once

#include "lutra/activations.h"
#include "lutra/block_float.h"
#include "lutra/block_sparse.h"
#include "lutra/checkpoint.h"
#include "lutra/composite.h"
#include "lutra/context.h"
#include "lutra/executor.h"
#include "lutra/float16.h"
#include "lutra/format.h"
#include "lutra/gated_unit.h"
#include "lutra/gguf_file.h"
#include "lutra/gguf_model.h"
#include "lutra/grouped.h"
#include "lutra/import.h"
#include "lutra/mapped_file.h"
#include "lutra/matmul.h"
#include "lutra/matrix.h"
#include "lutra/pack_panels.h"
#include "lutra/packed_file.h"
#include "lutra/packed_layout.h"
#include "lutra/packed_matrix.h"
#include "lutra/plan.h"
#include "lutra/prepare_parts.h"
#include "lutra/quantize.h"
#include "lutra/quantized_matrix.h"
#include "lutra/reference.h"
#include "lutra/row_ranges.h"
#include "lutra/shards.h"
#include "lutra/sparse.h"
#include "lutra/status.h"
#include "lutra/targets.h"
#include "lutra/version.h"
