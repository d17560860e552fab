// The handles that a fuzzer of the C API holds, and the calls that make and destroy them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "fuzz/input.h"
#include "lutra/lutra_c.h"

namespace lutra::test {

inline constexpr std::size_t kHandles = 3;  // of each kind

// True if the call succeeded. A status has texts if the call failed, and none if it succeeded.
inline bool Succeeded(const lutra_status& status) {
  const bool ok = status.code == LUTRA_OK;
  EXPECT_GE(status.code, LUTRA_OK);
  EXPECT_LE(status.code, LUTRA_IO);
  EXPECT_EQ(*status.argument == 0, ok);
  EXPECT_EQ(*status.reason == 0, ok);
  char message[8];
  const std::size_t length = lutra_status_message(status, message, sizeof(message));
  EXPECT_EQ(std::strlen(message), std::min(length, sizeof(message) - 1));
  return ok;
}

inline lutra_status Destroy(lutra_context** handle) { return lutra_context_destroy(handle); }
inline lutra_status Destroy(lutra_quantized** handle) { return lutra_quantized_destroy(handle); }
inline lutra_status Destroy(lutra_packed** handle) { return lutra_packed_destroy(handle); }
inline lutra_status Destroy(lutra_activations** handle) { return lutra_activations_destroy(handle); }

// The handles that are alive, and null pointers.
class Handles {
 public:
  Handles() = default;
  Handles(const Handles&) = delete;
  ~Handles() {
    const auto destroy = [](auto& handles) {
      for (auto& handle : handles) EXPECT_TRUE(Succeeded(Destroy(&handle)));
    };
    std::apply([&](auto&... handles) { (destroy(handles), ...); }, all_);
  }

  template <class H>
  H*& At(Input& input) {
    return std::get<H* [kHandles]>(all_)[input.Below(kHandles)];
  }
  // A handle of the kind, or null; rarely one of any kind, as a binding without types may pass it.
  template <class H>
  H* Pick(Input& input) {
    if (!input.Rarely(16)) return At<H>(input);
    switch (input.Below(4)) {
      case 0:
        return Disguised<H>(At<lutra_context>(input));
      case 1:
        return Disguised<H>(At<lutra_quantized>(input));
      case 2:
        return Disguised<H>(At<lutra_packed>(input));
      default:
        return Disguised<H>(At<lutra_activations>(input));
    }
  }
  // Makes a handle by create(H** out) and destroys the one that it replaces.
  template <class H, class Create>
  void Make(Input& input, const Create& create) {
    if (input.Rarely(32)) {
      EXPECT_FALSE(Succeeded(create(static_cast<H**>(nullptr))));
      return;
    }
    H* const untouched = reinterpret_cast<H*>(this);
    H* made = untouched;
    if (!Succeeded(create(&made))) {
      EXPECT_EQ(made, untouched);
      return;
    }
    H*& place = At<H>(input);
    EXPECT_TRUE(Succeeded(Destroy(&place)));
    place = made;
  }
  // Destroys a handle twice, or rarely one of another kind, which is refused.
  template <class H>
  void Unmake(Input& input) {
    if (input.Rarely(8)) {
      EXPECT_TRUE(Succeeded(Destroy(static_cast<H**>(nullptr))));
      H* other = Disguised<H>(static_cast<void*>(std::is_same_v<H, lutra_packed>
                                                     ? static_cast<void*>(At<lutra_activations>(input))
                                                     : At<lutra_packed>(input)));
      H* const before = other;
      EXPECT_EQ(Succeeded(Destroy(&other)), before == nullptr);
      EXPECT_EQ(other, before);
      return;
    }
    H*& place = At<H>(input);
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(Succeeded(Destroy(&place)));
      EXPECT_EQ(place, nullptr);
    }
  }
  // One of any kind.
  void UnmakeAny(Input& input) {
    switch (input.Below(4)) {
      case 0:
        return Unmake<lutra_context>(input);
      case 1:
        return Unmake<lutra_quantized>(input);
      case 2:
        return Unmake<lutra_packed>(input);
      default:
        return Unmake<lutra_activations>(input);
    }
  }

 private:
  template <class H>
  static H* Disguised(void* handle) {
    return static_cast<H*>(handle);
  }

  std::tuple<lutra_context* [kHandles], lutra_quantized* [kHandles], lutra_packed* [kHandles],
             lutra_activations* [kHandles]>
      all_ = {};
};

}  // namespace lutra::test
