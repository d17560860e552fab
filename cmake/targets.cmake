# How Lutra's own code is compiled: the library, its tests, benchmarks and examples.
set(CMAKE_CXX_EXTENSIONS OFF)

# Results must not depend on whether a compiler fuses a * b + c, nor on flags of a parent project: these undo -ffast-math,
# -Ofast and their parts. (SHELL: CMake drops an option that is there already, but -fno-fast-math would override it.)
set(lutra_float_options
  "SHELL:-fno-fast-math -ffp-contract=off"
  "$<$<CXX_COMPILER_ID:GNU>:SHELL:-fno-single-precision-constant -fno-allow-store-data-races>"
  "$<$<CXX_COMPILER_ID:Clang,AppleClang>:SHELL:-fdenormal-fp-math=ieee>")

function(lutra_compile_options target)
  target_compile_options(${target} PRIVATE
    ${lutra_float_options}
    -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor
    # Vectors are passed between functions of one target only.
    -Wno-psabi)
endfunction()
