// Status: the result of every public function that can fail. It names the argument and the reason.
#pragma once

#include <cstdint>
#include <string>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

enum class StatusCode : std::uint8_t {
  kOk,
  kInvalidArgument,  // the call can never succeed with these arguments
  kUnsupported,      // valid, but not on this CPU or in this build
  kOutOfMemory,
  kIo,  // a file cannot be opened, read or written
};

namespace functions {

// "ok", "invalid_argument", "unsupported", "out_of_memory" or "io"; "?" for a value that is none of these.
constexpr const char* Name(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid_argument";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kOutOfMemory:
      return "out_of_memory";
    case StatusCode::kIo:
      return "io";
  }
  return "?";
}

}  // namespace functions

// Lutra never throws, aborts or prints. A function that fails leaves its outputs unchanged; only Prepare, which builds
// in place, leaves Activations without rows. A Status owns nothing: both texts have static storage duration.
class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  constexpr Status(StatusCode code, const char* argument, const char* reason)
      : code_(code), argument_(argument), reason_(reason) {}

  static constexpr Status Invalid(const char* argument, const char* reason) {
    return {StatusCode::kInvalidArgument, argument, reason};
  }
  static constexpr Status Unsupported(const char* argument, const char* reason) {
    return {StatusCode::kUnsupported, argument, reason};
  }
  static constexpr Status OutOfMemory(const char* argument) {
    return {StatusCode::kOutOfMemory, argument, "memory could not be allocated"};
  }

  constexpr bool ok() const { return code_ == StatusCode::kOk; }
  constexpr StatusCode code() const { return code_; }
  constexpr const char* argument() const { return argument_; }  // e.g. "w.scales"; "" if ok
  constexpr const char* reason() const { return reason_; }      // e.g. "holds a value that is not finite"; "" if ok

  // "argument: reason", or "ok".
  std::string message() const { return ok() ? "ok" : std::string(argument_) + ": " + reason_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  const char* argument_ = "";
  const char* reason_ = "";
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
