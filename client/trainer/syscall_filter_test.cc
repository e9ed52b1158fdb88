#include "client/trainer/syscall_filter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <semaphore>
#include <string>
#include <thread>

#include "client/trainer/child_fixture.h"

namespace fleetune {
namespace {

constexpr int kNotConfined = 99;

// The number of the first thing that went otherwise than it should, from 1; 0: none.
template <size_t N>
int FirstWrong(const std::array<bool, N>& right) {
  for (size_t i = 0; i < N; ++i) {
    if (!right[i]) return static_cast<int>(i + 1);
  }
  return 0;
}

bool Refused(long result) { return result == -1 && errno == EPERM; }

TEST(SyscallFilterTest, NoSocketOfAnyFamily) {
  EXPECT_EQ(InChild([] {
              std::array<int, 2> ends;
              if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return kNotConfined;
              if (!RefuseSystemCalls().ok()) return kNotConfined;
              sockaddr address{};
              msghdr message{};
              io_uring_params parameters{};
              std::array<int, 2> more;
              return FirstWrong(std::array{
                  Refused(socket(AF_INET, SOCK_STREAM, 0)), Refused(socket(AF_INET6, SOCK_DGRAM, 0)),
                  Refused(socket(AF_PACKET, SOCK_RAW, 0)), Refused(socket(AF_NETLINK, SOCK_RAW, 0)),
                  Refused(socket(AF_UNIX, SOCK_STREAM, 0)), Refused(socket(AF_VSOCK, SOCK_STREAM, 0)),
                  Refused(socketpair(AF_UNIX, SOCK_STREAM, 0, more.data())),
                  Refused(connect(ends[0], &address, sizeof(address))), Refused(bind(ends[0], &address, sizeof(address))),
                  Refused(listen(ends[0], 1)), Refused(accept(ends[0], nullptr, nullptr)),
                  Refused(sendmsg(ends[0], &message, 0)), Refused(recvmsg(ends[0], &message, 0)),
                  Refused(syscall(SYS_io_uring_setup, 1, &parameters))});
            }),
            0);
}

TEST(SyscallFilterTest, NoProgramAndNoOtherProcess) {
  const pid_t parent = getpid();
  EXPECT_EQ(InChild([parent] {
              if (!RefuseSystemCalls().ok()) return kNotConfined;
              char name[] = "/bin/true";
              char* arguments[] = {name, nullptr};
              iovec io{};
              rlimit limit{};
              return FirstWrong(std::array{
                  Refused(execve(name, arguments, nullptr)), Refused(fexecve(0, arguments, arguments + 1)),
                  Refused(fork()), Refused(vfork()), Refused(ptrace(PTRACE_ATTACH, parent, nullptr, nullptr)),
                  Refused(process_vm_readv(parent, &io, 1, &io, 1, 0)), Refused(kill(parent, 0)),
                  Refused(syscall(SYS_tgkill, parent, parent, 0)), Refused(prlimit(parent, RLIMIT_CORE, nullptr, &limit)),
                  Refused(syscall(SYS_pidfd_open, parent, 0)),
                  syscall(SYS_clone3, nullptr, 0) == -1 && errno == ENOSYS});
            }),
            0);
}

TEST(SyscallFilterTest, FilesAreReadAndNotWritten) {
  const std::string path = ::testing::TempDir() + "/confined" + std::to_string(getpid());
  EXPECT_EQ(InChild([&path] {
              if (!RefuseSystemCalls().ok()) return kNotConfined;
              return FirstWrong(std::array{
                  open("/proc/self/statm", O_RDONLY) >= 0, Refused(open(path.c_str(), O_WRONLY | O_CREAT, 0600)),
                  Refused(open("/dev/null", O_RDWR)), Refused(open("/tmp", O_TMPFILE | O_RDWR, 0600)),
                  Refused(creat(path.c_str(), 0600)), Refused(unlink("/nowhere")), Refused(mkdir(path.c_str(), 0700)),
                  Refused(memfd_create("x", 0))});
            }),
            0);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(SyscallFilterTest, NothingOfAnAdministrators) {
  EXPECT_EQ(InChild([] {
              if (!RefuseSystemCalls().ok()) return kNotConfined;
              return FirstWrong(std::array{
                  Refused(mount("none", "/mnt", "tmpfs", 0, nullptr)), Refused(unshare(CLONE_NEWUSER)),
                  Refused(syscall(SYS_bpf, 0, nullptr, 0)), Refused(syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0)),
                  Refused(syscall(SYS_init_module, nullptr, 0, "")), Refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)),
                  Refused(chroot("/")),
                  // Of a kernel that nobody knows yet.
                  syscall(100'000) == -1 && errno == ENOSYS});
            }),
            0);
}

// Threads may be started, those that run already are under the filter too, and what was open stays open.
TEST(SyscallFilterTest, ThreadsAndTheSocketGoOn) {
  EXPECT_EQ(InChild([] {
              std::array<int, 2> ends;
              if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return kNotConfined;
              std::binary_semaphore confined(0);
              bool refused = false, sent = false;
              std::thread before([&] {
                confined.acquire();
                refused = Refused(socket(AF_INET, SOCK_STREAM, 0));
              });
              if (!RefuseSystemCalls().ok()) return kNotConfined;
              confined.release();
              before.join();
              std::thread after([&] { sent = send(ends[0], "x", 1, MSG_NOSIGNAL) == 1; });
              after.join();
              char byte = 0;
              rlimit limit{};
              return FirstWrong(std::array{refused, sent, recv(ends[1], &byte, 1, 0) == 1 && byte == 'x',
                                           kill(getpid(), 0) == 0, getrlimit(RLIMIT_DATA, &limit) == 0,
                                           mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED});
            }),
            0);
}

// Runs the program as the kernel would, without it.
uint32_t Decide(const std::vector<sock_filter>& program, const seccomp_data& call) {
  uint32_t loaded = 0;
  for (size_t i = 0; i < program.size(); ++i) {
    const sock_filter& instruction = program[i];
    const auto jump = [&](bool is) { i += is ? instruction.jt : instruction.jf; };
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&loaded, reinterpret_cast<const char*>(&call) + instruction.k, sizeof(loaded));
        break;
      case BPF_RET | BPF_K: return instruction.k;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(loaded == instruction.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(loaded > instruction.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((loaded & instruction.k) != 0); break;
      default: ADD_FAILURE() << "instruction " << i; return 0;
    }
  }
  ADD_FAILURE() << "no decision";
  return 0;
}

TEST(SyscallFilterTest, ACallOfAnotherArchitectureEndsTheProcess) {
  const std::vector<sock_filter> program = ConfiningFilter(7);
  ASSERT_FALSE(program.empty());
  for (const uint32_t arch : {0u, uint32_t{AUDIT_ARCH_I386}}) {
    EXPECT_EQ(Decide(program, {.nr = SYS_read, .arch = arch, .instruction_pointer = 0, .args = {}}),
              SECCOMP_RET_KILL_PROCESS);
  }
}

#if defined(__x86_64__)
TEST(SyscallFilterTest, DecidesByNumberAndArguments) {
  const std::vector<sock_filter> program = ConfiningFilter(7);
  const auto decide = [&](int number, uint64_t first = 0, uint64_t second = 0, uint64_t third = 0) {
    return Decide(program, {.nr = number,
                            .arch = AUDIT_ARCH_X86_64,
                            .instruction_pointer = 0,
                            .args = {first, second, third}});
  };
  constexpr uint32_t kAllow = SECCOMP_RET_ALLOW, kNo = SECCOMP_RET_ERRNO | EPERM, kUnknown = SECCOMP_RET_ERRNO | ENOSYS;
  EXPECT_EQ(decide(SYS_read), kAllow);
  EXPECT_EQ(decide(SYS_futex), kAllow);
  EXPECT_EQ(decide(450), kAllow);
  EXPECT_EQ(decide(451), kUnknown);
  EXPECT_EQ(decide(0x40000000 | SYS_socket), kUnknown);  // x32
  EXPECT_EQ(decide(SYS_clone, CLONE_VM | CLONE_THREAD), kAllow);
  EXPECT_EQ(decide(SYS_clone, SIGCHLD), kNo);
  EXPECT_EQ(decide(SYS_kill, 7), kAllow);
  EXPECT_EQ(decide(SYS_kill, 0), kNo);
  EXPECT_EQ(decide(SYS_tgkill, 8), kNo);
  EXPECT_EQ(decide(SYS_prlimit64, 0), kAllow);
  EXPECT_EQ(decide(SYS_prlimit64, 7), kAllow);
  EXPECT_EQ(decide(SYS_prlimit64, 8), kNo);
  EXPECT_EQ(decide(SYS_openat, 0, 0, O_RDONLY | O_CLOEXEC), kAllow);
  EXPECT_EQ(decide(SYS_openat, 0, 0, O_RDONLY | O_DIRECTORY), kAllow);
  for (const int flag : {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE}) {
    EXPECT_EQ(decide(SYS_openat, 0, 0, static_cast<uint64_t>(flag)), kNo) << flag;
    EXPECT_EQ(decide(SYS_open, 0, static_cast<uint64_t>(flag)), kNo) << flag;
  }
}
#endif

}  // namespace
}  // namespace fleetune
