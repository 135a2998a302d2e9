//! The traits that all sockets implement, and those of streams.

/// Implements the conversions from and to descriptors and sockets of `std`, and `Debug`, which shows what the socket of
/// `std` shows. `$socket` is a tuple struct of one `Socket<$std>`.
macro_rules! implement_descriptor_traits {
    ($socket:ident, $std:ty) => {
        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.0.get(), f)
            }
        }

        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.0)
            }
        }

        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsFd::as_fd(&self.0).as_raw_fd()
            }
        }

        /// The socket is set to non-blocking mode, and so are its duplicates. Its time-outs stay.
        ///
        /// # Panics
        ///
        /// Panics if the descriptor has no non-blocking mode, as one that was opened with `O_PATH`.
        impl From<$std> for $socket {
            fn from(socket: $std) -> $socket {
                $socket($crate::socket::Socket::adopt(socket))
            }
        }

        /// The socket is set to blocking mode, and so are its clones, unless it was in non-blocking mode for the
        /// program. Its time-outs stay.
        impl From<$socket> for $std {
            fn from(socket: $socket) -> $std {
                socket.0.into_std()
            }
        }

        /// Like the conversion from the socket of `std`.
        ///
        /// # Panics
        ///
        /// Panics if the descriptor has no non-blocking mode, as one that was opened with `O_PATH`.
        impl From<std::os::fd::OwnedFd> for $socket {
            fn from(fd: std::os::fd::OwnedFd) -> $socket {
                <$std>::from(fd).into()
            }
        }

        /// Like the conversion into the socket of `std`.
        impl From<$socket> for std::os::fd::OwnedFd {
            fn from(socket: $socket) -> std::os::fd::OwnedFd {
                socket.0.into_std().into()
            }
        }

        impl std::os::fd::FromRawFd for $socket {
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $socket {
                // SAFETY: the caller owns the descriptor, as this function requires too.
                unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }.into()
            }
        }

        impl std::os::fd::IntoRawFd for $socket {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}

/// Implements `Read` and `Write` for a stream and for references to it. `$read` is the method of `Socket` that reads.
macro_rules! implement_stream_traits {
    ($stream:ident, $read:ident) => {
        impl std::io::Read for &$stream {
            /// Reads what is there, and waits if there is nothing.
            ///
            /// # Parks
            ///
            /// Parks while there is nothing to read, and while another thread reads.
            ///
            /// # Errors
            ///
            /// Returns the errors of the operating system, `WouldBlock` when the time-out has passed or the socket is
            /// in non-blocking mode, and `NotConnected` after `close`.
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0.$read(buffer.len(), |mut stream| stream.read(buffer))
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                let len = buffers.iter().map(|buffer| buffer.len()).sum();
                self.0.$read(len, |mut stream| stream.read_vectored(buffers))
            }

            $crate::provided::provided_reads!();
        }

        impl std::io::Read for $stream {
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&*self).read_vectored(buffers)
            }

            $crate::provided::provided_reads!();
        }

        impl std::io::Write for &$stream {
            /// Writes as much as there is room for, and waits if there is none.
            ///
            /// # Parks
            ///
            /// Parks while there is no room, and while another thread writes.
            ///
            /// # Errors
            ///
            /// Returns the errors of the operating system, `WouldBlock` when the time-out has passed or the socket is
            /// in non-blocking mode, and `NotConnected` after `close`.
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.write(|mut stream| stream.write(bytes))
            }

            #[track_caller]
            fn write_vectored(&mut self, bytes: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.0.write(|mut stream| stream.write_vectored(bytes))
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }

            $crate::provided::provided_writes!();
        }

        impl std::io::Write for $stream {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                (&*self).write(bytes)
            }

            #[track_caller]
            fn write_vectored(&mut self, bytes: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }

            $crate::provided::provided_writes!();
        }
    };
}

pub(crate) use implement_descriptor_traits;
pub(crate) use implement_stream_traits;
