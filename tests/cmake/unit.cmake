# unit, threads: a program for each *_test.cc.

# Buffers come from the tests' own allocator (support/allocator.h), which a shared library cannot take: it has its own.
add_library(lutra_allocator OBJECT support/allocator.cc)
target_link_libraries(lutra_allocator PRIVATE lutra::lutra)
lutra_compile_options(lutra_allocator)
find_path(LUTRA_MEMCHECK valgrind/memcheck.h)
if(LUTRA_MEMCHECK AND NOT CMAKE_CROSSCOMPILING)
  target_compile_definitions(lutra_allocator PRIVATE LUTRA_MEMCHECK)
endif()

file(GLOB sources CONFIGURE_DEPENDS *_test.cc)
if(BUILD_SHARED_LIBS OR CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")  # which brings an operator new of its own
  list(FILTER sources EXCLUDE REGEX "/memory_test\\.cc$")
endif()
if(NOT LUTRA_BUILD_EXAMPLES)  # whose sources it tests
  list(FILTER sources EXCLUDE REGEX "/(format_plan|safetensors)_test\\.cc$")
endif()

# The headers that most tests include, compiled once. Not with ccache, which would compile all sources again. Preset
# debug and cmake/tidy.sh compile without them, so that missing includes are found.
option(LUTRA_PRECOMPILE_TESTS "Precompile the headers of the tests" OFF)
# Tests with flags of their own, or tests of what headers declare: they take no precompiled headers.
set(not_precompiled executors engine_names fork gptq_quantizer matrix_unit matrix_unit_joint safetensors simd)
list(TRANSFORM not_precompiled APPEND _test)
if(LUTRA_PRECOMPILE_TESTS AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  file(CONFIGURE OUTPUT test_headers.cc CONTENT "")
  add_library(lutra_test_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc)
  lutra_compile_options(lutra_test_headers)
  target_link_libraries(lutra_test_headers PRIVATE lutra::lutra GTest::gtest_main Threads::Threads)
  target_precompile_headers(lutra_test_headers PRIVATE <gtest/gtest.h> support/testing.h)
endif()
function(lutra_use_test_headers target)
  if(TARGET lutra_test_headers)
    target_precompile_headers(${target} REUSE_FROM lutra_test_headers)
  endif()
endfunction()

# The tests that run the kernels of every target.
add_custom_target(target_tests)
foreach(source IN LISTS sources)
  cmake_path(GET source STEM name)
  add_executable(${name} ${source})
  file(STRINGS ${source} visits_targets 
    REGEX "KernelTest|SweepTest|SharedSweep|RunnableTargets|EveryTarget|ExpectRightProducts|ExpectPanelsOfPack" LIMIT_COUNT 1)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  if(visits_targets)
    add_dependencies(target_tests ${name})
  endif()
  lutra_compile_options(${name})
  target_link_libraries(${name} PRIVATE lutra::lutra GTest::gtest_main Threads::Threads)
  if(NOT name IN_LIST not_precompiled)
    lutra_use_test_headers(${name})
  endif()
  # These test the library's own buffers.
  if(NOT BUILD_SHARED_LIBS AND NOT name MATCHES "^(executors|prepared_size|stack|status|status_weights)_test$")
    target_link_libraries(${name} PRIVATE lutra_allocator)
  endif()
  set(label unit)
  if(name MATCHES "^(executors|threads)_test$")
    set(label threads)
  endif()
  lutra_discover_tests(${name} LABEL ${label})
endforeach()

find_package(Eigen3 3.3 REQUIRED)  # lutra/eigen/gptq.h includes it
target_link_libraries(gptq_quantizer_test PRIVATE Eigen3::Eigen)
lutra_use_highway(simd_test .)
add_library(lutra_emulated_unit OBJECT support/emulated_unit.cc)
target_link_libraries(lutra_emulated_unit PRIVATE lutra::lutra GTest::gtest)
lutra_compile_options(lutra_emulated_unit)
lutra_use_highway(lutra_emulated_unit .)
foreach(name matrix_unit_test matrix_unit_joint_test)
  lutra_use_highway(${name} .)
  target_link_libraries(${name} PRIVATE lutra_emulated_unit)
endforeach()
foreach(name executors_test fork_test)
  target_link_libraries(${name} PRIVATE OpenMP::OpenMP_CXX TBB::tbb)
endforeach()
set(LUTRA_GGUF_DATA ${PROJECT_SOURCE_DIR}/../shared/data/gguf CACHE PATH
  "A folder of tensors in ggml's types: <type>.gguf, and what ggml dequantizes them to: <type>.f32")
target_compile_definitions(ggml_files_test PRIVATE LUTRA_GGUF_DATA="${LUTRA_GGUF_DATA}")

if(LUTRA_BUILD_EXAMPLES)
  find_package(fmt REQUIRED)
  find_package(nlohmann_json REQUIRED)
  target_sources(format_plan_test PRIVATE ${PROJECT_SOURCE_DIR}/examples/format_plan.cc)
  target_include_directories(format_plan_test PRIVATE ${PROJECT_SOURCE_DIR}/examples)
  target_link_libraries(safetensors_test PRIVATE safetensors_reader fmt::fmt nlohmann_json::nlohmann_json)
  target_compile_definitions(safetensors_test PRIVATE LUTRA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data")
endif()

# MappedFile as it works where there is no mmap: the library's source, compiled for such a system, takes the place of
# the library's object. (A shared library's own is private to it.)
if(NOT BUILD_SHARED_LIBS)
  add_executable(packed_file_no_mmap_test packed_file_test.cc saved_files_test.cc
    ${PROJECT_SOURCE_DIR}/src/memory/mapped_file.cc)
  target_compile_definitions(packed_file_no_mmap_test PRIVATE LUTRA_NO_MMAP)
  target_link_libraries(packed_file_no_mmap_test PRIVATE lutra::lutra lutra_allocator GTest::gtest_main Threads::Threads)
  lutra_compile_options(packed_file_no_mmap_test)
  lutra_discover_tests(packed_file_no_mmap_test LABEL unit PREFIX NoMmap.)
endif()

# For 5 seconds here; `soak --seconds 600` is for before a release.
add_executable(soak soak.cc)
lutra_use_test_headers(soak)
lutra_compile_options(soak)
target_link_libraries(soak PRIVATE lutra::lutra GTest::gtest Threads::Threads)
add_test(NAME soak COMMAND soak --seconds 5)
set_tests_properties(soak PROPERTIES LABELS threads)
