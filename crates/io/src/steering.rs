//! How a group of sockets on one address shares what comes: a rule, its model, and its classic BPF program for Linux.
//!
//! The rule reads a label that the receivers wrote into what their peers send back to them:
//!
//! ```text
//! label  0        1 2 3     4 5 6 7       at least 8 bytes
//!        masked   -         r, big-endian
//!
//! h = (r ^ xor) * multiply[0];  h ^= h >> 15;  h *= multiply[1]       all modulo 2^32
//! member = (label 0 ^ (h >> 24)) mod the number of members
//! ```
//!
//! The kernel counts members in the order they were bound, and moves the last into the place of one that is closed: a
//! [`SocketGroup`](crate::SocketGroup) therefore keeps all of them open until it is dropped.

use std::io;

use crate::socket::Socket;

/// Where a datagram has its label, and what is needed to read a member of the group from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// Bits of the first byte; a label has its length in front of it where one of them is set.
    pub sized: u8,
    /// Where the byte with the length is then.
    pub length_at: u8,
    /// Where the label begins otherwise.
    pub label_at: u8,
    /// Xored with the label's second word.
    pub xor: u32,
    /// The two factors of the mix.
    pub multiply: [u32; 2],
}

/// Bytes of a label that are read.
const LABEL_BYTES: u8 = 8;

impl Steering {
    /// The member that a datagram is for, of so many; `None` when it has no label, and the system may choose.
    ///
    /// This is what the kernel's program computes, in Rust.
    #[must_use]
    pub fn member(&self, datagram: &[u8], members: u8) -> Option<u8> {
        let is_sized = datagram.first()? & self.sized != 0;
        let length_at = usize::from(self.length_at);
        let start = if is_sized { length_at + 1 } else { usize::from(self.label_at) };
        if is_sized && *datagram.get(length_at)? < LABEL_BYTES {
            return None;
        }
        let label: &[u8; LABEL_BYTES as usize] = datagram.get(start..)?.first_chunk()?;
        let r = u32::from_be_bytes([label[4], label[5], label[6], label[7]]);
        let h = (r ^ self.xor).wrapping_mul(self.multiply[0]);
        let [mask, ..] = (h ^ (h >> 15)).wrapping_mul(self.multiply[1]).to_be_bytes();
        (label[0] ^ mask).checked_rem(members)
    }

    /// Has the kernel steer what comes to the group that `socket` belongs to.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn attach(&self, socket: &Socket, members: u8) -> io::Result<()> {
        program::attach(&program::compile(self, members), socket)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn attach(&self, _socket: &Socket, _members: u8) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot steer the datagrams of a group of sockets"))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod program {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    use libc::{
        BPF_ALU, BPF_B, BPF_IMM, BPF_IND, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_MEM,
        BPF_MISC, BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH, BPF_ST, BPF_STX, BPF_SUB, BPF_TAX, BPF_W, BPF_X, BPF_XOR,
        sock_filter,
    };

    use super::{LABEL_BYTES, Steering};
    use crate::socket::Socket;

    /// No member has this number: the kernel then chooses by its hash of the addresses.
    const NOBODY: u32 = u32::MAX;

    /// Memory words of the program.
    const START: u32 = 0;
    const MIX: u32 = 1;

    /// The program. It sees the contents of the datagram; a load past the end would end it with member 0, so lengths are
    /// looked at first.
    pub(super) fn compile(steering: &Steering, members: u8) -> Vec<sock_filter> {
        let (length_at, label_at) = (u32::from(steering.length_at), u32::from(steering.label_at));
        let load_byte = BPF_LD | BPF_B | BPF_IND;
        let steps = [
            // An empty datagram, or one too short for a length.
            (BPF_LD | BPF_W | BPF_LEN, length_at + 1),
            (BPF_JMP | BPF_JGE | BPF_K, length_at + 1),
            (BPF_RET | BPF_K, NOBODY),
            // Where the label begins.
            (BPF_LDX | BPF_IMM, 0),
            (load_byte, 0),
            (BPF_JMP | BPF_JSET | BPF_K, u32::from(steering.sized)),
            (load_byte, length_at),
            (BPF_JMP | BPF_JGE | BPF_K, u32::from(LABEL_BYTES)),
            (BPF_RET | BPF_K, NOBODY),
            (BPF_LDX | BPF_IMM, length_at + 1),
            (BPF_JMP, 1),
            (BPF_LDX | BPF_IMM, label_at),
            (BPF_STX, START),
            // All of it must be there.
            (BPF_LD | BPF_W | BPF_LEN, 0),
            (BPF_JMP | BPF_JGE | BPF_X, 0),
            (BPF_RET | BPF_K, NOBODY),
            (BPF_ALU | BPF_SUB | BPF_X, 0),
            (BPF_JMP | BPF_JGE | BPF_K, u32::from(LABEL_BYTES)),
            (BPF_RET | BPF_K, NOBODY),
            // The mask.
            (BPF_LD | BPF_W | BPF_IND, 4),
            (BPF_ALU | BPF_XOR | BPF_K, steering.xor),
            (BPF_ALU | BPF_MUL | BPF_K, steering.multiply[0]),
            (BPF_MISC | BPF_TAX, 0),
            (BPF_ALU | BPF_RSH | BPF_K, 15),
            (BPF_ALU | BPF_XOR | BPF_X, 0),
            (BPF_ALU | BPF_MUL | BPF_K, steering.multiply[1]),
            (BPF_ALU | BPF_RSH | BPF_K, 24),
            (BPF_ST, MIX),
            // The member.
            (BPF_LDX | BPF_W | BPF_MEM, START),
            (load_byte, 0),
            (BPF_LDX | BPF_W | BPF_MEM, MIX),
            (BPF_ALU | BPF_XOR | BPF_X, 0),
            (BPF_ALU | BPF_MOD | BPF_K, u32::from(members)),
            (BPF_RET | BPF_A, 0),
        ];
        steps.map(|(code, k)| instruction(code, k)).into()
    }

    /// `BPF_RET` of the accumulator.
    const BPF_A: u32 = 0x10;

    /// Comparisons jump over the next step when they hold; the look at the `sized` bits jumps over five when none is set.
    fn instruction(code: u32, k: u32) -> sock_filter {
        let (jt, jf) = match code & 0x07 {
            BPF_JMP if code & 0xf0 == BPF_JSET => (0, 5),
            BPF_JMP if code & 0xf0 == BPF_JGE => (1, 0),
            _ => (0, 0),
        };
        sock_filter { code: code as u16, jt, jf, k }
    }

    /// libc's `sock_fprog` with its padding written out: the kernel is handed that too, and memory checkers complain of bytes
    /// that nobody wrote.
    #[repr(C)]
    struct Program {
        len: u16,
        padding: [u16; size_of::<usize>() / 2 - 1],
        filter: *const sock_filter,
    }

    const _: () = assert!(size_of::<Program>() == size_of::<libc::sock_fprog>());

    pub(super) fn attach(program: &[sock_filter], socket: &Socket) -> io::Result<()> {
        let padding = [0; size_of::<usize>() / 2 - 1];
        let handed = Program { len: program.len() as u16, padding, filter: program.as_ptr() };
        let len = size_of::<Program>() as libc::socklen_t;
        let fd = socket.as_fd().as_raw_fd();
        let name = libc::SO_ATTACH_REUSEPORT_CBPF;
        // SAFETY: the descriptor is open (borrowed); the pointer is to a live Program, which is laid out as sock_fprog and of
        // the length given, and the kernel only reads the `len` instructions it points to, which live as long as the slice.
        let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, (&raw const handed).cast(), len) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEERING: Steering =
        Steering { sized: 0x80, length_at: 5, label_at: 1, xor: 0x0123_4567, multiply: [0x9e37_79b1, 0x85eb_ca77] };

    #[test]
    fn datagrams_without_a_whole_label_are_nobodys() {
        let unsized_label = [&[0x40; 1][..], &[7; 8]].concat();
        let sized_label = [&[0xc0, 0, 0, 0, 1, 8][..], &[7; 8]].concat();
        for whole in [unsized_label, sized_label] {
            for len in 0..whole.len() {
                assert_eq!(STEERING.member(&whole[..len], 4), None, "{len}");
            }
            assert!(STEERING.member(&whole, 4).is_some());
        }
        let short_label = [&[0xc0, 0, 0, 0, 1, 7][..], &[7; 20]].concat();
        assert_eq!(STEERING.member(&short_label, 4), None);
    }

    #[test]
    fn both_layouts_of_one_label_name_the_same_member() {
        for first in 0..=u8::MAX {
            let label = [first, 2, 3, 4, 5, first, 7, 8];
            let one = STEERING.member(&[&[0x40][..], &label].concat(), 7);
            assert_eq!(one, STEERING.member(&[&[0xc0, 0, 0, 0, 1, 8][..], &label].concat(), 7));
            assert!(one.is_some_and(|member| member < 7));
        }
    }
}
