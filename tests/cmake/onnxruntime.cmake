# onnxruntime: the operator in ONNX Runtime, where cmake/setup.sh onnxruntime has brought it. Not under an emulator:
# ONNX Runtime reads which processors the machine has, and crashes in qemu before main.
if(NOT TARGET onnxruntime-lutra OR CMAKE_CROSSCOMPILING)
  return()
endif()
add_executable(operator_test onnxruntime/operator_test.cc)
target_link_libraries(operator_test PRIVATE random_product GTest::gtest Threads::Threads)
lutra_compile_options(operator_test)
add_dependencies(operator_test onnxruntime-lutra)
lutra_discover_tests(operator_test LABEL onnxruntime)
