# ggml: the plug-in in llama.cpp's libraries, where cmake/setup.sh ggml has brought them.
if(NOT TARGET ggml-lutra)
  return()
endif()
get_target_property(base lutra_ggml INTERFACE_LINK_LIBRARIES)
cmake_path(GET base PARENT_PATH libraries)
file(GLOB llama ${libraries}/libllama.v*.so ${libraries}/libggml.v*.so)
if(NOT llama)
  return()
endif()
foreach(test plugin_test products_test parts_test)
  add_executable(${test} ggml/${test}.cc)
  target_compile_definitions(${test} PRIVATE
    LUTRA_GGML_PLUGIN="$<TARGET_FILE:ggml-lutra>" LUTRA_GGML_LIBRARIES="${libraries}")
  target_link_libraries(${test} PRIVATE lutra::lutra random_llama GTest::gtest ${llama} Threads::Threads)
  lutra_compile_options(${test})
  add_dependencies(${test} ggml-lutra)
  # One entry per program: each process spends seconds on the grids that ggml's quantizers search.
  add_test(NAME ${test} COMMAND ${test})
  set_tests_properties(${test} PROPERTIES LABELS ggml FAIL_REGULAR_EXPRESSION "Running 0 tests")
endforeach()
# They have two threads, which wait busily for each other.
set_tests_properties(plugin_test products_test PROPERTIES PROCESSORS 2)
