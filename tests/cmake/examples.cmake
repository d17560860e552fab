# example: each runs, for every format and type that the library lists; README's only C++ is the quickstart.

# lutra_example(name COMMAND ...): a test of an example. It measures as few runs as it can.
set(measure_little ENVIRONMENT LUTRA_MEASURE_MS=0)
function(lutra_example name)
  add_test(NAME ${name} ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS example ${measure_little})
endfunction()

# A test that a program refuses these arguments, as bad usage or a bad file.
function(lutra_refused program name)
  add_test(NAME ${program}_refuses_${name}
    COMMAND sh -c "\"$@\"; test $? -eq 2" sh ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:${program}> ${ARGN})
  set_tests_properties(${program}_refuses_${name} PROPERTIES LABELS example)
endfunction()

# --- Small programs.
lutra_example(quickstart COMMAND quickstart)
set_tests_properties(quickstart PROPERTIES PASS_REGULAR_EXPRESSION "^ok, y\\[0\\] = 256\n$")
lutra_example(binary_embeddings COMMAND binary_embeddings 20000)
set_tests_properties(binary_embeddings PROPERTIES PASS_REGULAR_EXPRESSION "\nthe ranks agree\n$")
lutra_refused(binary_embeddings no_target 10 none)
lutra_example(engine_threads COMMAND engine_threads)
lutra_example(c_matmul COMMAND c_matmul)
lutra_example(mixture_of_experts COMMAND mixture_of_experts)
lutra_example(composite_matrix COMMAND composite_matrix 256 512 2)
lutra_refused(composite_matrix no_number many)
lutra_example(own_kernels COMMAND own_kernels)

set(quickstart ${PROJECT_SOURCE_DIR}/examples/quickstart.cc)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/README.md ${quickstart})
file(READ ${PROJECT_SOURCE_DIR}/README.md readme)
file(READ ${quickstart} quickstart)
string(REGEX REPLACE "^//[^\n]*\n" "\n```cpp\n" quickstart "${quickstart}")
string(REGEX MATCHALL "\n```cpp\n" openings "${readme}")
string(FIND "${readme}" "${quickstart}```\n" found)
list(LENGTH openings count)
if(NOT count EQUAL 1 OR found EQUAL -1)
  message(FATAL_ERROR "README.md must hold examples/quickstart.cc, without its first line, and no other C++.")
endif()

# --- gguf_matmul: a file that is written here, with a tensor of every type that is imported, and ggml's files where
# there are some. multiply_all.sh multiplies every tensor that gguf_matmul lists as imported; it must refuse the others.
add_executable(write_gguf support/write_gguf.cc)
target_link_libraries(write_gguf PRIVATE lutra::lutra GTest::gtest)
lutra_compile_options(write_gguf)
set(model ${CMAKE_CURRENT_BINARY_DIR}/model.gguf)
set(parts ${CMAKE_CURRENT_BINARY_DIR}/split)
lutra_example(write_gguf COMMAND write_gguf ${model} ${parts})
lutra_example(gguf_matmul_lists COMMAND gguf_matmul ${model})
lutra_example(gguf_matmul_lists_floats COMMAND gguf_matmul ${model})
set_tests_properties(gguf_matmul_lists_floats PROPERTIES
  PASS_REGULAR_EXPRESSION "norm .*no: f32 tensors are not quantized. the engine.*half .*no: f16 tens.*brain .*no: bf16 tens.*odd .*no: has more")
lutra_example(gguf_matmul_lists_slices COMMAND gguf_matmul ${model})
set_tests_properties(gguf_matmul_lists_slices PROPERTIES
  PASS_REGULAR_EXPRESSION "experts +q4_K +128 x 256 +0\\.02 +yes, as int4; slices experts\\[0\\] to experts\\[3\\]")
lutra_example(gguf_matmul_slice COMMAND gguf_matmul ${model} experts[3])
set_tests_properties(gguf_matmul_slice PROPERTIES PASS_REGULAR_EXPRESSION "experts\\[3\\]: W\\[32 x 256\\], q4_K")
lutra_example(gguf_matmul_lists_parts COMMAND gguf_matmul ${parts}-00002-of-00003.gguf)
set_tests_properties(gguf_matmul_lists_parts PROPERTIES PASS_REGULAR_EXPRESSION "blk\\.0 .*blk\\.1 .*blk\\.2 ")
lutra_example(gguf_matmul_part COMMAND gguf_matmul ${parts}-00001-of-00003.gguf blk.1[2])
set_tests_properties(gguf_matmul_lists PROPERTIES
  PASS_REGULAR_EXPRESSION "up\\.k +q3_K +768 x 512 +0\\.17 +yes, as int3\n.*\\?\\[31mred.*new +type 99.*no: ")
set(multiply_all ${CMAKE_CURRENT_SOURCE_DIR}/support/multiply_all.sh)
set(gguf_matmul ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:gguf_matmul>)
lutra_example(gguf_matmul_every_type COMMAND ${multiply_all} ${model} ${gguf_matmul})
lutra_refused(gguf_matmul no_tensor ${model} no-such-tensor)
lutra_refused(gguf_matmul no_slice ${model} experts[4])
lutra_refused(gguf_matmul no_slices ${model} gate[1])
lutra_refused(gguf_matmul no_file no-such-file.gguf)
lutra_refused(gguf_matmul no_gguf ${CMAKE_CURRENT_LIST_FILE})
lutra_refused(gguf_matmul nothing)
file(GLOB files CONFIGURE_DEPENDS ${LUTRA_GGUF_DATA}/*.gguf)
foreach(file IN LISTS files)
  cmake_path(GET file STEM type)
  lutra_example(gguf_matmul_of_ggml_${type} COMMAND ${multiply_all} ${file} ${gguf_matmul})
endforeach()

# --- safetensors_matmul: the same with a matrix of every scheme, and with files that the schemes' tools packed.
add_executable(write_safetensors support/write_safetensors.cc)
target_link_libraries(write_safetensors PRIVATE lutra::lutra GTest::gtest)
lutra_compile_options(write_safetensors)
set(checkpoint ${CMAKE_CURRENT_BINARY_DIR}/model.safetensors)
set(safetensors_matmul ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:safetensors_matmul>)
lutra_example(write_safetensors COMMAND write_safetensors ${checkpoint})
lutra_example(safetensors_matmul_lists COMMAND safetensors_matmul ${checkpoint})
lutra_example(safetensors_matmul_lists_folder COMMAND safetensors_matmul ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(safetensors_matmul_lists safetensors_matmul_lists_folder PROPERTIES PASS_REGULAR_EXPRESSION
  "\\?\\[31mred .*no: F32 tensors are.*embed .*no: BF16 tensors are.*fp8\\.8\\.weight .*yes, 64 x 768 of 8-bit fp8 as fp8_e4m3.*odd\\.qweight .*no: belongs to no known scheme")
lutra_example(safetensors_matmul_lists_slices COMMAND safetensors_matmul ${checkpoint})
set_tests_properties(safetensors_matmul_lists_slices PROPERTIES PASS_REGULAR_EXPRESSION
  "experts_blocks +U8 +4 x 32 x 8 x 16 +0\\.02 +yes, 32 x 256 of 4-bit mxfp4 as fp4; slices .*blocks\\[0\\] to .*blocks\\[3\\]")
lutra_example(safetensors_matmul_slice COMMAND safetensors_matmul ${checkpoint} mlp.experts_blocks[3])
lutra_example(safetensors_matmul_every_scheme COMMAND ${multiply_all} ${checkpoint} ${safetensors_matmul})
lutra_refused(safetensors_matmul no_model ${CMAKE_CURRENT_SOURCE_DIR})
lutra_refused(safetensors_matmul no_tensor ${checkpoint} no-such-tensor)
lutra_refused(safetensors_matmul no_slice ${checkpoint} mlp.experts_blocks[4])
lutra_refused(safetensors_matmul floats ${checkpoint} embed)
lutra_refused(safetensors_matmul no_file no-such-file.safetensors)
lutra_refused(safetensors_matmul no_safetensors ${CMAKE_CURRENT_LIST_FILE})
lutra_refused(safetensors_matmul nothing)
set_tests_properties(write_safetensors PROPERTIES FIXTURES_SETUP checkpoint)
set_tests_properties(safetensors_matmul_lists safetensors_matmul_lists_slices safetensors_matmul_lists_folder
  safetensors_matmul_slice safetensors_matmul_every_scheme safetensors_matmul_refuses_no_tensor safetensors_matmul_refuses_no_slice
  safetensors_matmul_refuses_floats PROPERTIES FIXTURES_REQUIRED checkpoint)
file(GLOB files CONFIGURE_DEPENDS data/*.safetensors)
foreach(file IN LISTS files)
  cmake_path(GET file STEM name)
  lutra_example(safetensors_matmul_of_${name} COMMAND ${multiply_all} ${file} ${safetensors_matmul})
endforeach()

# --- mlp_block: every format, and tensors of the model.
add_executable(list_formats support/list_formats.cc)
target_link_libraries(list_formats PRIVATE lutra::lutra)
lutra_compile_options(list_formats)
list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)
# Without a format from the list, xargs runs mlp_block once, and that refuses an option without a value.
lutra_example(mlp_block_every_format COMMAND sh -c "${emulator} $<TARGET_FILE:list_formats> | xargs -n 1 \
  ${emulator} $<TARGET_FILE:mlp_block> --width 512 --hidden 1376 --prompt 9 --format")
lutra_example(mlp_block_one_level COMMAND mlp_block --threads 2 --prompt 3 ${model} gate up down)
lutra_example(mlp_block_two_levels COMMAND mlp_block ${model} gate.k up.k down.k)
lutra_refused(mlp_block no_block ${model} gate up up)
lutra_refused(mlp_block norm ${model} gate up norm)
lutra_refused(mlp_block no_file no-such-file.gguf gate up down)
lutra_refused(mlp_block two_tensors ${model} gate up)
lutra_refused(mlp_block no_value --prompt)
lutra_refused(mlp_block unknown_option --no-such-option 1)
lutra_refused(mlp_block unknown_format --format int9)
lutra_refused(mlp_block no_number --width 4k)

set_tests_properties(write_gguf PROPERTIES FIXTURES_SETUP model)
set_tests_properties(gguf_matmul_lists gguf_matmul_lists_floats gguf_matmul_lists_slices gguf_matmul_slice
  gguf_matmul_lists_parts gguf_matmul_part gguf_matmul_refuses_no_slice gguf_matmul_refuses_no_slices
  gguf_matmul_every_type gguf_matmul_refuses_no_tensor mlp_block_one_level
  mlp_block_two_levels mlp_block_refuses_no_block mlp_block_refuses_norm mlp_block_refuses_two_tensors
  PROPERTIES FIXTURES_REQUIRED model)

lutra_example(block_sparse COMMAND block_sparse)
set_tests_properties(block_sparse PROPERTIES PASS_REGULAR_EXPRESSION "are the same, bit for bit")
lutra_refused(block_sparse unknown_format 64 128 int9)

# --- larger_than_memory: the limit holds where this program alone takes memory, not an emulator or a sanitizer.
set(large ${CMAKE_CURRENT_BINARY_DIR}/large.lutra)
set(megabytes 100)
set(limit 40)
if(CMAKE_CROSSCOMPILING OR NOT CMAKE_BUILD_TYPE STREQUAL Release)
  set(megabytes 4)
  set(limit 100000)
endif()
lutra_example(larger_than_memory_make COMMAND larger_than_memory make ${large} ${megabytes})
set_tests_properties(larger_than_memory_make PROPERTIES FIXTURES_SETUP large)
lutra_example(larger_than_memory COMMAND larger_than_memory multiply ${large} ${limit})
set_tests_properties(larger_than_memory PROPERTIES
  FIXTURES_REQUIRED large PASS_REGULAR_EXPRESSION "the same, bit for bit; .* memory stayed below")
lutra_refused(larger_than_memory no_number multiply ${large} 4k)
lutra_refused(larger_than_memory nothing)

# --- mpi_shards, with the options of OpenMPI. (MPI's libraries leak memory, which sanitizers report.)
if(TARGET mpi_shards AND CMAKE_BUILD_TYPE STREQUAL Release)
  set(mpirun ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe -n)
  foreach(processes IN ITEMS 1 2 3)  # three: more than there are shards of 256 columns
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/shards-${processes})
    file(MAKE_DIRECTORY ${folder})
    add_test(NAME mpi_shards_${processes} COMMAND ${mpirun} ${processes} $<TARGET_FILE:mpi_shards> ${folder} 600 512 3)
    set_tests_properties(mpi_shards_${processes} PROPERTIES
      LABELS mpi PASS_REGULAR_EXPRESSION "rows equal .*; columns equal" FAIL_REGULAR_EXPRESSION DIFFER)
  endforeach()
endif()

# --- compressed_experts: fails above 1 bit per weight where 90 % are zero, and if an expert is not what it was.
if(TARGET compressed_experts)
  add_test(NAME compressed_experts COMMAND compressed_experts)
  add_test(NAME compressed_experts_odd COMMAND compressed_experts 3 77 203 50)
  set_tests_properties(compressed_experts compressed_experts_odd PROPERTIES
    LABELS zstd ${measure_little} PASS_REGULAR_EXPRESSION "few matches .*few matches .*what they were, byte for byte")
endif()

# --- The demo: real weights where there are some, and options it must refuse.
set(LUTRA_REAL_DATA ${PROJECT_SOURCE_DIR}/../shared/data/real CACHE PATH "A folder of matrices: <name>_<M>x<K>.f32")
file(GLOB matrices CONFIGURE_DEPENDS ${LUTRA_REAL_DATA}/*.f32)
foreach(matrix IN LISTS matrices)
  string(REGEX MATCH "([0-9]+)x([0-9]+)\\.f32$" shape ${matrix})
  cmake_path(GET matrix STEM name)
  lutra_example(demo_${name} COMMAND demo --weights ${matrix} --rows ${CMAKE_MATCH_1} --cols ${CMAKE_MATCH_2})
endforeach()
if(matrices)
  list(GET matrices 0 matrix)
  lutra_example(weight_error COMMAND weight_error ${matrix})
  set_tests_properties(weight_error PROPERTIES PASS_REGULAR_EXPRESSION "int8 per 32")
endif()
lutra_example(plan_formats COMMAND plan_formats mb 0.02 128x256 192x256:4 --svg ${CMAKE_CURRENT_BINARY_DIR}/plan.svg)
set_tests_properties(plan_formats PROPERTIES PASS_REGULAR_EXPRESSION "all, as planned")
lutra_refused(plan_formats no_budget mb 0 128x256)
lutra_refused(plan_formats no_shape ms 1 no-such-file.f32)
lutra_refused(weight_error no_file no-such-file.f32)
lutra_refused(demo unknown_option --no-such-option)
lutra_refused(demo unknown_format --formats int9)
lutra_refused(demo unknown_target --target ABACUS)
lutra_refused(demo no_number --threads many)
lutra_refused(demo no_value --weights)
lutra_refused(demo no_file --weights no-such-file.f32 --rows 1 --cols 1)
