#include "system_calls.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace verge::process {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

/// What Python, numpy and a plug-in need to compute, to read, and to speak over what they were given.
constexpr std::array kAllowed {
  SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_close, SYS_close_range,
      SYS_openat, SYS_openat2, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_getdents64,
      SYS_readlinkat, SYS_faccessat, SYS_faccessat2, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_umask, SYS_fadvise64,
      SYS_dup, SYS_dup3, SYS_pipe2, SYS_eventfd2, SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl,
      SYS_epoll_pwait, SYS_mprotect, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mincore, SYS_brk, SYS_membarrier,
      SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_sigaltstack, SYS_restart_syscall,
      SYS_setitimer, SYS_getitimer, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres,
      SYS_gettimeofday, SYS_times, SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_getpid, SYS_getppid, SYS_gettid,
      SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups, SYS_getpgid,
      SYS_getsid, SYS_getpriority, SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_getparam, SYS_sched_getscheduler,
      SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_getcpu, SYS_futex, SYS_set_robust_list,
      SYS_get_robust_list, SYS_set_tid_address, SYS_rseq, SYS_getrandom, SYS_exit, SYS_exit_group, SYS_sendmsg,
      SYS_recvmsg, SYS_sendto, SYS_recvfrom, SYS_getsockopt, SYS_getsockname, SYS_getpeername, SYS_shutdown,
#if defined(__x86_64__)
      SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_dup2, SYS_pipe, SYS_poll, SYS_select,
      SYS_epoll_create, SYS_epoll_wait, SYS_arch_prctl, SYS_time, SYS_getpgrp, SYS_getrlimit,
#endif
};

/// Changes to files, which Landlock does not cover whole: they are refused as if rights were missing.
constexpr std::array kRefused {
  SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr,
      SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_mkdirat, SYS_unlinkat, SYS_renameat2, SYS_linkat,
      SYS_symlinkat, SYS_mknodat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_flock, SYS_sched_setaffinity,
      SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_setpriority, SYS_setrlimit, SYS_memfd_create,
      SYS_memfd_secret, SYS_setsockopt, SYS_setsid, SYS_setpgid, SYS_mlock, SYS_mlockall,
#if defined(__x86_64__)
      SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat, SYS_mkdir, SYS_rmdir, SYS_unlink,
      SYS_rename, SYS_renameat, SYS_link, SYS_symlink, SYS_mknod, SYS_creat,
#endif
};

struct Forbidden {
  long number;
  std::string_view meaning;
};

/// Calls that no step has a reason for: who makes one is ended.
constexpr std::array kForbidden {
  Forbidden{SYS_clone, "called fork() or clone(), which starts a process"},
      Forbidden{SYS_execve, "called execve(), which runs another program"},
      Forbidden{SYS_execveat, "called execveat(), which runs another program"},
      Forbidden{SYS_socket, "called socket(), which opens a way to the network"},
      Forbidden{SYS_socketpair, "called socketpair(), which opens a socket"},
      Forbidden{SYS_connect, "called connect(), which reaches for the network"},
      Forbidden{SYS_bind, "called bind(), which opens a way to the network"},
      Forbidden{SYS_listen, "called listen(), which opens a way to the network"},
      Forbidden{SYS_accept, "called accept(), which opens a way to the network"},
      Forbidden{SYS_accept4, "called accept4(), which opens a way to the network"},
      Forbidden{SYS_kill, "called kill() on another process"},
      Forbidden{SYS_tkill, "called tkill(), which may end other processes"},
      Forbidden{SYS_tgkill, "called tgkill() on another process"},
      Forbidden{SYS_rt_sigqueueinfo, "called rt_sigqueueinfo() on another process"},
      Forbidden{SYS_rt_tgsigqueueinfo, "called rt_tgsigqueueinfo() on another process"},
      Forbidden{SYS_pidfd_open, "called pidfd_open(), which reaches for other processes"},
      Forbidden{SYS_pidfd_send_signal, "called pidfd_send_signal(), which may end other processes"},
      Forbidden{SYS_pidfd_getfd, "called pidfd_getfd(), which takes from other processes"},
      Forbidden{SYS_ptrace, "called ptrace(), which reaches into other processes"},
      Forbidden{SYS_process_vm_readv, "called process_vm_readv(), which reads other processes"},
      Forbidden{SYS_process_vm_writev, "called process_vm_writev(), which writes into other processes"},
      Forbidden{SYS_kcmp, "called kcmp(), which looks at other processes"}, Forbidden{SYS_mount, "called mount()"},
      Forbidden{SYS_umount2, "called umount2()"}, Forbidden{SYS_pivot_root, "called pivot_root()"},
      Forbidden{SYS_chroot, "called chroot()"}, Forbidden{SYS_setns, "called setns()"},
      Forbidden{SYS_unshare, "called unshare()"},
      Forbidden{SYS_add_key, "called add_key(), which uses the kernel's keys"},
      Forbidden{SYS_request_key, "called request_key(), which uses the kernel's keys"},
      Forbidden{SYS_keyctl, "called keyctl(), which uses the kernel's keys"}, Forbidden{SYS_bpf, "called bpf()"},
      Forbidden{SYS_perf_event_open, "called perf_event_open()"},
      Forbidden{SYS_io_uring_setup, "called io_uring_setup()"},
      Forbidden{SYS_io_uring_enter, "called io_uring_enter()"},
      Forbidden{SYS_io_uring_register, "called io_uring_register()"},
      Forbidden{SYS_userfaultfd, "called userfaultfd()"},
      Forbidden{SYS_open_by_handle_at, "called open_by_handle_at()"},
      Forbidden{SYS_shmget, "called shmget(), which shares memory"},
      Forbidden{SYS_msgget, "called msgget(), which speaks to other processes"},
      Forbidden{SYS_semget, "called semget(), which speaks to other processes"},
      Forbidden{SYS_mq_open, "called mq_open(), which speaks to other processes"},
      Forbidden{SYS_init_module, "called init_module()"}, Forbidden{SYS_finit_module, "called finit_module()"},
      Forbidden{SYS_delete_module, "called delete_module()"}, Forbidden{SYS_kexec_load, "called kexec_load()"},
      Forbidden{SYS_reboot, "called reboot()"}, Forbidden{SYS_swapon, "called swapon()"},
      Forbidden{SYS_settimeofday, "called settimeofday()"}, Forbidden{SYS_clock_settime, "called clock_settime()"},
      Forbidden{SYS_personality, "called personality()"}, Forbidden{SYS_seccomp, "called seccomp()"},
      Forbidden{SYS_setuid, "called setuid()"}, Forbidden{SYS_setgid, "called setgid()"},
      Forbidden{SYS_setresuid, "called setresuid()"}, Forbidden{SYS_setresgid, "called setresgid()"},
      Forbidden{SYS_setgroups, "called setgroups()"}, Forbidden{SYS_capset, "called capset()"},
#if defined(__x86_64__)
      Forbidden{SYS_fork, "called fork(), which starts a process"},
      Forbidden{SYS_vfork, "called vfork(), which starts a process"}, Forbidden{SYS_iopl, "called iopl()"},
      Forbidden{SYS_ioperm, "called ioperm()"}, Forbidden{SYS_modify_ldt, "called modify_ldt()"},
#endif
};

constexpr std::uint32_t refused_with(int number) noexcept {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(number);
}

/// A program for the kernel's filter, written call by call: each looks at the number, then at its arguments.
class Filter {
 public:
  void begin() {
    load(offsetof(seccomp_data, arch));
    unless_equal(kArchitecture, 1);
    skip(1);
    give(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    constexpr std::uint32_t kX32 = 0x40000000;
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32, 0, 1));
    give(SECCOMP_RET_KILL_PROCESS);
#endif
  }
  void always(long number, std::uint32_t action) {
    unless_equal(static_cast<std::uint32_t>(number), 1);
    give(action);
  }
  /// Of these values of an argument's lower half: `action`; else `otherwise`.
  void when_one_of(long number, unsigned argument, std::initializer_list<std::uint32_t> values, std::uint32_t action,
                   std::uint32_t otherwise) {
    unless_equal(static_cast<std::uint32_t>(number), static_cast<std::uint8_t>(2 * values.size() + 2));
    load(argument_at(argument));
    for (const auto value : values) {
      unless_equal(value, 1);
      give(action);
    }
    give(otherwise);
  }
  /// When all of one of these sets of bits are set in an argument: refused with `error`.
  void refuse_bits(long number, unsigned argument, std::initializer_list<std::uint32_t> sets, int error) {
    unless_equal(static_cast<std::uint32_t>(number), static_cast<std::uint8_t>(4 * sets.size() + 1));
    for (const auto bits : sets) {
      load(argument_at(argument));
      code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits));
      unless_equal(bits, 1);
      give(refused_with(error));
    }
    give(SECCOMP_RET_ALLOW);
  }
  /// Allowed while both halves of an argument are 0.
  void when_null(long number, unsigned argument) {
    unless_equal(static_cast<std::uint32_t>(number), 6);
    load(argument_at(argument));
    unless_equal(0, 3);
    load(argument_at(argument) + 4);
    unless_equal(0, 1);
    give(SECCOMP_RET_ALLOW);
    give(refused_with(EPERM));
  }
  void give(std::uint32_t action) {
    code_.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  std::vector<sock_filter>& code() {
    return code_;
  }

 private:
  static std::uint32_t argument_at(unsigned argument) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
  }
  void load(std::uint32_t offset) {
    code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
  }
  void skip(std::uint32_t count) {
    code_.push_back(BPF_STMT(BPF_JMP | BPF_JA, count));
  }
  void unless_equal(std::uint32_t value, std::uint8_t skipped) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped));
  }

  std::vector<sock_filter> code_;
};

Filter filter() {
  const auto self = static_cast<std::uint32_t>(::getpid());
  constexpr std::uint32_t kSharedWithoutName = MAP_SHARED | MAP_ANONYMOUS;
  constexpr std::uint32_t kNameOfMemory = 0x53564d41;  // PR_SET_VMA, which malloc and Python call.
  Filter filter;
  filter.begin();
  // Memory that no limit counts: shared without a name, and what grows like a stack.
  filter.refuse_bits(SYS_mmap, 3, {kSharedWithoutName, MAP_GROWSDOWN}, ENOMEM);
  filter.when_one_of(SYS_ioctl, 1, {TCGETS, FIOCLEX, FIONCLEX, FIONREAD, FIONBIO, TIOCGWINSZ}, SECCOMP_RET_ALLOW,
                     refused_with(ENOTTY));
  filter.when_one_of(SYS_fcntl, 1,
                     {F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC,
                      1034 /* F_GET_SEALS */, 1032 /* F_GETPIPE_SZ */},
                     SECCOMP_RET_ALLOW, refused_with(EPERM));
  filter.when_one_of(SYS_prctl, 0, {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, kNameOfMemory}, SECCOMP_RET_ALLOW,
                     refused_with(EPERM));
  filter.when_null(SYS_prlimit64, 2);
  for (const auto call : {SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo}) {
    filter.when_one_of(call, 0, {self}, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF);
  }
  for (const auto call : kAllowed) filter.always(call, SECCOMP_RET_ALLOW);
  for (const auto call : kRefused) filter.always(call, refused_with(EACCES));
  // Its flags lie in memory, where a filter cannot look; the C library then uses clone().
  filter.always(SYS_clone3, refused_with(ENOSYS));
  for (const auto& call : kForbidden) filter.always(call.number, SECCOMP_RET_USER_NOTIF);
  filter.give(refused_with(ENOSYS));
  return filter;
}

}  // namespace

bool can_report_calls() noexcept {
  const std::uint32_t action = SECCOMP_RET_USER_NOTIF;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

Descriptor restrict_calls() noexcept {
  Filter made = filter();
  sock_fprog program{};
  program.len = static_cast<unsigned short>(made.code().size());
  program.filter = made.code().data();
  return Descriptor(
      static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)));
}

std::string_view meaning_of_call(int number) noexcept {
  const auto found = std::ranges::find(kForbidden, number, &Forbidden::number);
  return found == kForbidden.end() ? "made a forbidden system call" : found->meaning;
}

}  // namespace verge::process
