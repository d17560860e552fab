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

# A network that reads text: with GPTQ in three bits, it says in 9 of 10 places what it says in f32.
set(LUTRA_OCR ${LUTRA_DEPS_DIR}/ocr-${CMAKE_SYSTEM_PROCESSOR} CACHE PATH "What cmake/fetch.sh ocr has brought")
set(fonts /usr/share/fonts/truetype/dejavu)
if(TARGET ocr_accuracy AND EXISTS ${LUTRA_OCR}/recognizer.onnx AND EXISTS ${fonts})
  add_test(NAME ocr_accuracy COMMAND ocr_accuracy ${LUTRA_OCR} ${fonts} int3)
  set_tests_properties(ocr_accuracy PROPERTIES
    LABELS onnxruntime PASS_REGULAR_EXPRESSION "f32 +24/24.*int3 GPTQ +[0-9/]+ +9[0-9]\\.")
endif()
