//! What homes need of the system: the register that holds a thread's identity (the base of its thread-local storage), and
//! system calls that use nothing of an identity.

use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr;

/// A mask of blocked signals.
pub(super) type Signals = libc::sigset_t;

/// Returns the identity of the calling thread.
#[inline(always)]
pub(super) fn read() -> usize {
    let base: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: on Linux the first word of a thread's control block holds the block's own address, which is the base.
    unsafe {
        asm!("mov {}, fs:0", out(reg) base, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) base, options(nostack, preserves_flags));
    }
    base
}

/// Gives the calling kernel thread another identity.
///
/// # Safety
///
/// `base` is the identity of a thread that is alive and uses it neither now nor until it is changed back. No code uses the address of
/// a thread-local that it has computed before.
#[inline(always)]
pub(super) unsafe fn write(base: usize) {
    // The instructions may not be moved over accesses of memory, because the access may be to a thread-local. So the
    // blocks clobber memory.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the processor and the system allow the instruction: `is_supported`. The caller guarantees the rest.
    unsafe {
        asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: any program may write this register. The caller guarantees the rest.
    unsafe {
        asm!("msr tpidr_el0, {}", in(reg) base, options(nostack, preserves_flags));
    }
}

/// Returns whether the system allows a program to write the register.
pub(super) fn is_writable() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        /// `HWCAP2_FSGSBASE`: the kernel has enabled the instructions.
        const FSGSBASE: libc::c_ulong = 1 << 1;
        // SAFETY: the call reads what the kernel has given to the process.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP2) };
        capabilities & FSGSBASE != 0 && !is_under_valgrind()
    }
    #[cfg(target_arch = "aarch64")]
    true
}

/// Returns whether valgrind runs the program. Valgrind does not know the instruction.
#[cfg(target_arch = "x86_64")]
fn is_under_valgrind() -> bool {
    /// The request `RUNNING_ON_VALGRIND` of valgrind's manual.
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let reply: usize;
    // SAFETY: the four rotations add up to 128 bits, and a register that is exchanged with itself stays as it is. So the
    // sequence does nothing, unless valgrind recognizes it. Then valgrind reads the request, and sets `rdx`.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            inout("rdx") 0_usize => reply,
            in("rax") request.as_ptr(),
            out("rdi") _,
            options(nostack),
        );
    }
    reply != 0
}

/// Blocks all signals on the calling thread that may be blocked, and returns its mask of before.
///
/// The C library keeps two signals to itself, and does not let them be blocked.
pub(super) fn block_all() -> Signals {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills `all`. The second reads it and fills `before`. It cannot fail, since its first argument
    // is valid.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Gives the calling thread a mask of signals that `block_all` has returned.
pub(super) fn restore(mask: Signals) {
    // SAFETY: the mask is valid.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
}

/// Ends the registration of the calling thread's restartable sequences, if the C library has made one. The library then
/// falls back to system calls under this identity, wherever it is carried.
pub(super) fn leave_restartable_sequences() {
    /// The signature that the C library registers with.
    #[cfg(target_arch = "x86_64")]
    const SIGNATURE: u32 = 0x5305_3053;
    #[cfg(target_arch = "aarch64")]
    const SIGNATURE: u32 = 0xd428_bc00;
    const UNREGISTER: libc::c_int = 1;
    // SAFETY: looks for symbols by their names.
    let (offset, size) = unsafe {
        (
            libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>(),
            libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<libc::c_uint>(),
        )
    };
    if offset.is_null() || size.is_null() {
        return;
    }
    /// The least size that the kernel takes.
    const LEAST: libc::c_uint = 32;
    // SAFETY: the library's manual describes the two symbols: constants of these types that are set when the process starts.
    let (offset, size) = unsafe { (*offset, *size) };
    if size == 0 {
        return;
    }
    let area = read().wrapping_add_signed(offset);
    // SAFETY: the area is that of the calling thread. If its registration differs, the call fails, and changes nothing.
    unsafe { libc::syscall(libc::SYS_rseq, area, size.max(LEAST), UNREGISTER, SIGNATURE) };
}

/// Sleeps while the word has this value. May return early.
pub(super) fn futex_wait(word: *const u32, value: u32) {
    futex(word, libc::FUTEX_WAIT, value);
}

/// Wakes a thread that sleeps on the word.
pub(super) fn futex_wake(word: *const u32) {
    futex(word, libc::FUTEX_WAKE, 1);
}

/// Makes a futex call for a word of this process, without a limit of time. The results of both calls are not needed, so this does
/// not set `errno`, which belongs to the identity.
pub(super) fn futex(word: *const u32, operation: libc::c_int, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    let no_limit = 0_usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the word is alive during the call. The instruction changes `rcx` and `r11`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") libc::SYS_futex => _,
            in("rdi") word,
            in("rsi") operation,
            in("rdx") value,
            in("r10") no_limit,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the word is alive during the call.
    unsafe {
        asm!(
            "svc 0",
            in("x8") libc::SYS_futex,
            inlateout("x0") word => _,
            in("x1") operation,
            in("x2") value,
            in("x3") no_limit,
            options(nostack),
        );
    }
}
