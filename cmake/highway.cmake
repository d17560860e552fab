# Finds Highway >= 1.2.0: what the parent project builds, else an installed one, else the release, fetched. A fetched
# Highway is compiled into Lutra, so that an installed Lutra needs nothing beside itself. Its namespace gets another
# name there, so that a program may have another Highway beside Lutra, and the two do not share functions or state.
set(LUTRA_DEPS_DIR ${PROJECT_BINARY_DIR}/deps CACHE PATH "Where fetched sources are kept; build trees may share it")
set(lutra_highway_version 1.2.0)
set(lutra_highway_url https://github.com/google/highway/archive/refs/tags/${lutra_highway_version}.tar.gz)
# Debian 13's source package holds the same archive.
set(lutra_highway_sha256 7e0be78b8318e8bdbf6fa545d2ecb4c90f947df03f7aadc42c1967f019e63343)

# Downloads and unpacks the release, once; the first archive with the right hash is taken.
function(lutra_fetch_highway)
  set(archive ${LUTRA_DEPS_DIR}/highway_${lutra_highway_version}.orig.tar.gz)
  file(MAKE_DIRECTORY ${LUTRA_DEPS_DIR})
  file(LOCK ${LUTRA_DEPS_DIR} DIRECTORY GUARD FUNCTION)
  if(EXISTS ${LUTRA_DEPS_DIR}/highway-${lutra_highway_version})
    return()
  endif()

  set(hash "")
  foreach(source IN ITEMS present release Debian)
    if(source STREQUAL release)
      message(STATUS "Fetching Highway from ${lutra_highway_url}")
      file(DOWNLOAD ${lutra_highway_url} ${archive} TIMEOUT 20 STATUS status)
    elseif(source STREQUAL Debian)
      message(STATUS "Fetching Highway from Debian 13")
      execute_process(COMMAND ${PROJECT_SOURCE_DIR}/cmake/fetch_debian_source.sh trixie highway
        WORKING_DIRECTORY ${LUTRA_DEPS_DIR})
    endif()
    if(EXISTS ${archive})
      file(SHA256 ${archive} hash)
    endif()
    if(hash STREQUAL lutra_highway_sha256)
      break()
    endif()
  endforeach()
  if(NOT hash STREQUAL lutra_highway_sha256)
    message(FATAL_ERROR
      "Highway ${lutra_highway_version} could not be fetched. Either install it, or a newer one, and add its prefix to "
      "CMAKE_PREFIX_PATH, or save ${lutra_highway_url} as ${archive}.")
  endif()

  # Renamed last, so that an interrupted run leaves nothing that looks complete.
  file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${LUTRA_DEPS_DIR}/unpack)
  file(RENAME ${LUTRA_DEPS_DIR}/unpack/highway-${lutra_highway_version}
    ${LUTRA_DEPS_DIR}/highway-${lutra_highway_version})
  file(REMOVE_RECURSE ${LUTRA_DEPS_DIR}/unpack)
endfunction()

# The version of the headers of the parent's target: 0 if it is so old that they do not tell, empty if they are not found.
function(lutra_version_of_highway target version)
  set(folders "")
  foreach(property IN ITEMS INTERFACE_INCLUDE_DIRECTORIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES SOURCE_DIR)
    get_target_property(values ${target} ${property})
    list(APPEND folders ${values})
  endforeach()
  list(TRANSFORM folders REPLACE "^\\$<BUILD_INTERFACE:(.*)>$" "\\1")
  find_path(folder hwy/base.h PATHS ${folders} NO_DEFAULT_PATH NO_CACHE)
  set(found "")
  if(folder)
    file(STRINGS ${folder}/hwy/base.h lines REGEX "^#define HWY_(MAJOR|MINOR|PATCH) ")
    string(REGEX MATCHALL "[0-9]+" numbers "0;${lines}")
    list(JOIN numbers . found)
    string(REGEX REPLACE "^0\\.(.)" "\\1" found ${found})
  endif()
  set(${version} ${found} PARENT_SCOPE)
endfunction()

if(TARGET hwy)
  set(lutra_highway_library hwy)
  lutra_version_of_highway(hwy version)
  if(NOT version STREQUAL "" AND version VERSION_LESS lutra_highway_version)
    message(FATAL_ERROR
      "The target hwy is Highway ${version}, but Lutra needs ${lutra_highway_version} or newer. Either add a newer "
      "Highway to the project, or add Lutra before Highway: then it has one of its own, which the other does not touch.")
  endif()
else()
  find_package(hwy ${lutra_highway_version} CONFIG QUIET)
  if(hwy_FOUND)
    message(STATUS "Highway ${hwy_VERSION}: ${hwy_DIR}")
    set(lutra_highway_library hwy::hwy)
    set(lutra_find_dependencies "find_dependency(hwy ${hwy_VERSION})")
  elseif(hwy_CONSIDERED_VERSIONS)
    message(FATAL_ERROR
      "Highway ${hwy_CONSIDERED_VERSIONS} is installed (${hwy_CONSIDERED_CONFIGS}), but Lutra needs "
      "${lutra_highway_version} or newer. Remove it (Debian: apt-get remove libhwy-dev), or add the prefix of a newer "
      "one to CMAKE_PREFIX_PATH, or configure with -DCMAKE_DISABLE_FIND_PACKAGE_hwy=ON to have Lutra fetch its own.")
  else()
    lutra_fetch_highway()
    set(source ${LUTRA_DEPS_DIR}/highway-${lutra_highway_version})
    add_library(lutra_highway OBJECT EXCLUDE_FROM_ALL
      ${source}/hwy/abort.cc
      ${source}/hwy/aligned_allocator.cc
      ${source}/hwy/per_target.cc
      ${source}/hwy/targets.cc)
    target_compile_features(lutra_highway PUBLIC cxx_std_17)
    string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" version ${lutra_highway_version})
    math(EXPR version "100 * ${CMAKE_MATCH_1} + ${CMAKE_MATCH_2}")
    set(lutra_highway_inside hwy=lutra_v${PROJECT_VERSION_MAJOR}_${PROJECT_VERSION_MINOR}_hwy LUTRA_HIGHWAY=${version})
    target_compile_definitions(lutra_highway PUBLIC HWY_STATIC_DEFINE ${lutra_highway_inside})
    target_include_directories(lutra_highway SYSTEM PUBLIC ${source})
    set_target_properties(lutra_highway PROPERTIES POSITION_INDEPENDENT_CODE ON COMPILE_WARNING_AS_ERROR OFF)
    set(lutra_highway_library $<BUILD_INTERFACE:lutra_highway>)
  endif()
endif()

set(LUTRA_DISABLED_TARGETS "" CACHE STRING "More Highway targets to leave out, joined by |: HWY_AVX3_SPR|HWY_AVX3")

# How files of kernels are compiled. For experts, who compile the kernel templates into files of their own:
# lutra::kernels. Such files use a Highway that their project has as a target, else the one inside Lutra, of which they
# need the headers.
string(REGEX REPLACE "(.+)" "|\\1" left_out "${LUTRA_DISABLED_TARGETS}")
add_library(lutra_kernels INTERFACE)
add_library(lutra::kernels ALIAS lutra_kernels)
set_target_properties(lutra_kernels PROPERTIES EXPORT_NAME kernels)
target_link_libraries(lutra_kernels INTERFACE ${lutra_highway_library})
target_compile_options(lutra_kernels INTERFACE ${lutra_float_options})
target_compile_definitions(lutra_kernels INTERFACE
  # Left out to keep builds short: machines with SSE alone take EMU128, those with SVE take NEON, to which AES
  # adds nothing. (Kernels of NEON_I8MM have the instruction for bf16 themselves.)
  "HWY_DISABLED_TARGETS=(HWY_SSE2|HWY_SSSE3|HWY_SSE4|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_NEON|HWY_NEON_BF16${left_out})"
  HWY_WANT_AVX3_DL=1    # before 1.3.0 Highway leaves Ice Lake's instructions out by default
  HWY_BROKEN_EMU128=0)  # g++ 12 would fall back to one-lane vectors, which have no byte shuffle
if(MINGW AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ does not align its stack to vectors of 32 and 64 bytes on Windows (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=54412).
  target_compile_options(lutra_kernels INTERFACE -Wa,-muse-unaligned-vector-move)
endif()
if(lutra_highway_inside)
  set(none $<NOT:$<OR:$<TARGET_EXISTS:hwy>,$<TARGET_EXISTS:hwy::hwy>>>)
  target_compile_definitions(lutra_kernels INTERFACE "$<INSTALL_INTERFACE:$<${none}:${lutra_highway_inside}>>")
endif()

# Lets the target's files include Highway, which includes some of them once more for each instruction set, by their
# names in `folder`. Nothing of it reaches whoever links the target.
function(lutra_use_highway target folder)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:lutra_kernels> ${lutra_highway_library})
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
