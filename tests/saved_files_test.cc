// SavePacked beside other files and processes: whole files, modes, links, failures, and what is not a file.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

Case MatrixCase(Format format, std::size_t group) {
  Case c;
  c.format = format;
  c.target = BestTarget();
  c.m = 70;
  c.k = 200;
  c.group = group;
  c.bias = true;
  return c;
}

// A folder of its own, in which tests may leave nothing but the files that they name.
class SavedFiles : public ::testing::Test {
 protected:
  SavedFiles() { EXPECT_EQ(mkdir(folder_.c_str(), 0700), 0); }
  ~SavedFiles() override {
    for (const std::string& name : Names()) std::remove((folder_ + "/" + name).c_str());
    EXPECT_EQ(rmdir(folder_.c_str()), 0);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    DIR* const folder = opendir(folder_.c_str());
    while (const dirent* const entry = readdir(folder)) {
      if (entry->d_name != std::string(".") && entry->d_name != std::string("..")) names.emplace_back(entry->d_name);
    }
    closedir(folder);
    std::sort(names.begin(), names.end());
    return names;
  }
  mode_t ModeOf(const std::string& path) const {
    struct stat info = {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info.st_mode;
  }
  ::testing::AssertionResult Loads(const std::string& path) const {
    PackedMatrix w;
    if (const Status status = LoadPacked(path.c_str(), {}, &w); !status.ok()) {
      return ::testing::AssertionFailure() << status.message();
    }
    const bool same = w.bytes() == saved_.bytes() && std::equal(w.data(), w.data() + w.bytes(), saved_.data());
    return same ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "another matrix";
  }

  const Problem problem_{MatrixCase(Format::kInt4, 64)};
  const PackedMatrix saved_ = Packed(problem_, BestTarget());
  const std::string folder_ = ::testing::TempDir() + "lutra_saved_" + std::to_string(getpid());
  const std::string path_ = folder_ + "/w";
};

// Runs `function` in a process of its own; false if it fails or dies.
template <class Function>
pid_t Fork(const Function& function) {
  const pid_t process = fork();
  if (process == 0) _exit(function() ? 0 : 1);
  return process;
}
::testing::AssertionResult Succeeds(pid_t process) {
  int status = 0;
  if (process < 0 || waitpid(process, &status, 0) != process) return ::testing::AssertionFailure() << "no process";
  if (WIFSIGNALED(status)) return ::testing::AssertionFailure() << "signal " << WTERMSIG(status);
  return WEXITSTATUS(status) == 0 ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "it failed";
}

// Processes save two matrices of different sizes to one path, and load what is there.
TEST_F(SavedFiles, OfSeveralProcessesAreWhole) {
  const Problem other_problem(MatrixCase(Format::kInt2, 32));
  const PackedMatrix other = Packed(other_problem, BestTarget());
  const auto same = [](const PackedMatrix& a, const PackedMatrix& b) {
    return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  };
  const auto save_and_load = [&](int process) {
    for (int i = 0; i < 30; ++i) {
      PackedMatrix w;
      if (!SavePacked((process + i) % 2 == 0 ? saved_ : other, path_.c_str()).ok()) return false;
      if (!LoadPacked(path_.c_str(), {}, &w).ok()) return false;
      if (!same(w, saved_) && !same(w, other)) return false;
    }
    return true;
  };
  std::vector<pid_t> processes;
  for (int i = 0; i < 8; ++i) processes.push_back(Fork([&] { return save_and_load(i); }));
  for (const pid_t process : processes) EXPECT_TRUE(Succeeds(process));
  EXPECT_EQ(Names(), std::vector<std::string>{"w"});
}

TEST_F(SavedFiles, OfSeveralThreadsAreWhole) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) failures += SavePacked(saved_, path_.c_str()).ok() && Loads(path_) ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Names(), std::vector<std::string>{"w"});
}

TEST_F(SavedFiles, KeepTheirMode) {
  const mode_t mask = umask(027);
  ASSERT_TRUE(Ok(SavePacked(saved_, path_.c_str())));
  EXPECT_EQ(ModeOf(path_) & 0777, 0640u);
  for (const mode_t mode : {0600u, 0666u, 0444u, 0755u}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    ASSERT_TRUE(Ok(SavePacked(saved_, path_.c_str())));
    EXPECT_EQ(ModeOf(path_) & 0777, mode);
  }
  umask(mask);
  EXPECT_TRUE(Loads(path_));
}

TEST_F(SavedFiles, AreFoundThroughLinks) {
  const std::string link = folder_ + "/link", link_to_link = folder_ + "/again", loop = folder_ + "/loop";
  ASSERT_EQ(symlink("w", link.c_str()), 0);  // relative
  ASSERT_EQ(symlink(link.c_str(), link_to_link.c_str()), 0);
  ASSERT_EQ(symlink("loop", loop.c_str()), 0);
  for (const std::string& path : {link_to_link, link}) {  // first without a target, then with one
    ASSERT_TRUE(Ok(SavePacked(saved_, path.c_str())));
    EXPECT_TRUE(S_ISLNK(ModeOf(link)));
    EXPECT_TRUE(S_ISLNK(ModeOf(link_to_link)));
    EXPECT_TRUE(S_ISREG(ModeOf(path_)));
    EXPECT_TRUE(Loads(path_));
    EXPECT_TRUE(Loads(path));
  }
  EXPECT_EQ(SavePacked(saved_, loop.c_str()).code(), StatusCode::kIo);
  EXPECT_EQ(Names(), (std::vector<std::string>{"again", "link", "loop", "w"}));
}

TEST_F(SavedFiles, LeaveNothingOnFailure) {
  ASSERT_TRUE(Ok(SavePacked(saved_, path_.c_str())));
  const auto fails_on_a_full_disk = [&] {
    const rlimit limit = {4096 + 100, 4096 + 100};
    if (std::signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    return SavePacked(saved_, path_.c_str()).code() == StatusCode::kIo;
  };
  EXPECT_TRUE(Succeeds(Fork(fails_on_a_full_disk)));
  EXPECT_TRUE(Loads(path_));
  EXPECT_EQ(Names(), std::vector<std::string>{"w"});
  for (const std::string& path : {folder_, folder_ + "/", path_ + "/below", folder_ + "/no/w",
                                  folder_ + "/" + std::string(5000, 'x'), folder_ + "/" + std::string(300, 'x')}) {
    EXPECT_EQ(SavePacked(saved_, path.c_str()).code(), StatusCode::kIo) << path;
  }
  EXPECT_EQ(Names(), std::vector<std::string>{"w"});
}

// A FIFO has no reader or writer here: to open it would wait for one.
TEST_F(SavedFiles, AreRegularFiles) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  PackedMatrix w;
  GgufModel model;
  for (const FileAccess access : {FileAccess::kMap, FileAccess::kRead}) {
    const Status status = LoadPacked(path_.c_str(), {}, &w, nullptr, access);
    EXPECT_EQ(status.code(), StatusCode::kIo);
    EXPECT_STREQ(status.reason(), "is not a regular file");
    EXPECT_EQ(model.Open(path_.c_str(), access).code(), StatusCode::kIo);
  }
  EXPECT_EQ(SavePacked(saved_, path_.c_str()).code(), StatusCode::kIo);
  EXPECT_TRUE(S_ISFIFO(ModeOf(path_)));
}

}  // namespace
}  // namespace lutra::test
