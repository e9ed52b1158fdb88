#include "client/trainer/syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fleetune {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

// The newest call of Linux 6.1, whose calls all were looked at; since 5.0 numbers are the same everywhere. The x32 calls of
// x86-64 have larger numbers, too.
constexpr uint32_t kNewestKnownCall = 450;

constexpr uint32_t kRefused[] = {
    // Sockets: none is made, and none of those that are there can reach anybody else.
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_sendmsg, SYS_recvmsg,
    SYS_sendmmsg, SYS_recvmmsg, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    // Programs and processes.
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise,
    SYS_process_mrelease, SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_kcmp, SYS_tkill, SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo, SYS_migrate_pages, SYS_move_pages, SYS_setpgid, SYS_setsid,
    // Files, but for reading.
    SYS_openat2, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_mkdirat,
    SYS_mknodat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_fchmod, SYS_fchmodat, SYS_fchown,
    SYS_fchownat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    SYS_utimensat, SYS_copy_file_range, SYS_memfd_create, SYS_memfd_secret, SYS_fanotify_init, SYS_fanotify_mark,
    SYS_inotify_init1, SYS_ioctl,
    // Mounts and namespaces.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_move_mount,
    SYS_open_tree, SYS_mount_setattr, SYS_unshare, SYS_setns,
    // The kernel's own.
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_kexec_load,
    SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_lookup_dcookie,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname, SYS_vhangup,
    SYS_personality,
    // Ways to others: keyrings and IPC.
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_shmget, SYS_shmat, SYS_shmctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv,
    SYS_msgctl, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl, SYS_mq_open, SYS_mq_unlink,
#if defined(__x86_64__)
    // Older forms of the above.
    SYS_fork, SYS_vfork, SYS_creat, SYS_mkdir, SYS_mknod, SYS_unlink, SYS_rmdir, SYS_rename, SYS_link,
    SYS_symlink, SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat, SYS_inotify_init, SYS_iopl,
    SYS_ioperm, SYS_modify_ldt, SYS_uselib,
#endif
};

// Instructions, one after the other. Jumps skip the instructions that follow.
class Program {
 public:
  void LoadCall() { Load(offsetof(seccomp_data, nr)); }
  void LoadArchitecture() { Load(offsetof(seccomp_data, arch)); }
  // The low 32 bits, which is all that the kernel reads of flags and process ids.
  void LoadArgument(size_t index) { Load(static_cast<uint32_t>(offsetof(seccomp_data, args) + index * sizeof(uint64_t))); }
  void Return(uint32_t action) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, action)); }
  void Refuse(int error) { Return(SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)); }
  void IfEqual(uint32_t value, uint8_t skip_unless) { Jump(BPF_JEQ, value, 0, skip_unless); }
  void IfGreater(uint32_t value, uint8_t skip_unless) { Jump(BPF_JGT, value, 0, skip_unless); }
  void IfAnyBit(uint32_t bits, uint8_t skip_unless) { Jump(BPF_JSET, bits, 0, skip_unless); }
  void UnlessEqual(uint32_t value, uint8_t skip_if) { Jump(BPF_JEQ, value, skip_if, 0); }
  void UnlessAnyBit(uint32_t bits, uint8_t skip_if) { Jump(BPF_JSET, bits, skip_if, 0); }
  std::vector<sock_filter> Take() { return std::move(code_); }

 private:
  void Load(uint32_t offset) { code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)); }
  void Jump(uint16_t test, uint32_t value, uint8_t if_true, uint8_t if_false) {
    code_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | test | BPF_K), value, if_true, if_false));
  }
  std::vector<sock_filter> code_;
};

// Reading only: no flag that could change the file or make one.
void AddOpen(Program& program, uint32_t call, size_t flags_argument) {
  constexpr uint32_t kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
  program.IfEqual(call, 4);
  program.LoadArgument(flags_argument);
  program.IfAnyBit(kWriting, 1);
  program.Refuse(EPERM);
  program.Return(SECCOMP_RET_ALLOW);
}

// Of this process alone.
void AddOwnProcess(Program& program, uint32_t call, pid_t own_pid, bool zero_too) {
  program.IfEqual(call, zero_too ? 5 : 4);
  program.LoadArgument(0);
  if (zero_too) program.UnlessEqual(0, 2);
  program.UnlessEqual(static_cast<uint32_t>(own_pid), 1);
  program.Refuse(EPERM);
  program.Return(SECCOMP_RET_ALLOW);
}

}  // namespace

std::vector<sock_filter> ConfiningFilter(pid_t own_pid) {
  if (kArchitecture == 0) return {};
  Program program;
  program.LoadArchitecture();
  program.UnlessEqual(kArchitecture, 1);
  program.Return(SECCOMP_RET_KILL_PROCESS);
  program.LoadCall();
  program.IfGreater(kNewestKnownCall, 1);
  program.Refuse(ENOSYS);
  for (const uint32_t call : kRefused) {
    program.IfEqual(call, 1);
    program.Refuse(EPERM);
  }
  // Its flags lie in memory, where a filter cannot look; libraries then use clone.
  program.IfEqual(SYS_clone3, 1);
  program.Refuse(ENOSYS);
  program.IfEqual(SYS_clone, 4);
  program.LoadArgument(0);
  program.UnlessAnyBit(CLONE_THREAD, 1);
  program.Refuse(EPERM);
  program.Return(SECCOMP_RET_ALLOW);
  AddOwnProcess(program, SYS_kill, own_pid, /*zero_too=*/false);
  AddOwnProcess(program, SYS_tgkill, own_pid, /*zero_too=*/false);
  AddOwnProcess(program, SYS_prlimit64, own_pid, /*zero_too=*/true);
  AddOpen(program, SYS_openat, 2);
#if defined(__x86_64__)
  AddOpen(program, SYS_open, 1);
#endif
  program.Return(SECCOMP_RET_ALLOW);
  return program.Take();
}

absl::Status RefuseSystemCalls() {
  std::vector<sock_filter> code = ConfiningFilter(getpid());
  if (code.empty()) {
    return absl::FailedPreconditionError("no filter of system calls was written for this architecture");
  }
  const sock_fprog program = {.len = static_cast<unsigned short>(code.size()), .filter = code.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot give up new privileges: ", strerror(errno)));
  }
  // All threads: a library may have started some while it was loaded.
  const long failed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (failed == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the kernel sets no filter of system calls: ",
                   failed < 0 ? strerror(errno) : absl::StrCat("thread ", failed, " has another one")));
}

}  // namespace fleetune
