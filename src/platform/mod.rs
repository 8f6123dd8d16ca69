//! Where operating systems differ, and nothing else does: the same names on each of them. What they promise is
//! told here, and what Windows cannot keep of it.
//!
//! | | promise | on Windows |
//! |---|---|---|
//! | [`Signals`] | who asks this process to end | Ctrl-C is an interrupt; Ctrl-Break, a closed console, a log-off and a shutdown mean the end |
//! | [`duties`] | what process 1 of a container owes others | nothing: there is no such process |
//! | [`start_again`] | this process becomes a new run of its own program | a child runs, and this process ends as it did |
//! | [`shell`] | a text for `sh -eu` | `sh.exe` of Git for Windows, which must be on PATH |
//! | [`Tree`] | a program with all that it starts, and the end of all of it | a job object; nothing can be asked to end, so a limit kills without a warning |
//! | [`ending`] | how a program ended, in words | there are no signals |
//! | [`claim`] | the right to write a file, held by one process | the lock is on a file beside it, since one on the file itself would keep its holder out too |
//! | [`private`] | a new file that only its owner reads | it inherits the rights of its folder |
//! | [`adopt`], [`adopt_all`], [`create_folders`] | what root makes belongs to the owner of its folder | owner and rights are the folder's already |
//! | [`sync_folder`] | a new name outlasts a crash of the machine | the journal of NTFS sees to that |
//! | [`free_space`] | bytes left for this user | |
//! | [`local_socket`] | a connection to a unix socket | refused |
//! | [`host`], [`USER_VARIABLES`] | names of machine and user | |

use std::{fs::File, ops::Deref};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(test)]
mod tests;

#[cfg(unix)]
pub use unix::{
    NO_SHELL, NOWHERE, Signals, Tree, USER_VARIABLES, adopt, adopt_all, claim, claimed, create_folders,
    duties, ending, free_space, host, local_socket, private, shell, start_again, sync_folder,
};
#[cfg(windows)]
pub use windows::{
    NO_SHELL, NOWHERE, Signals, Tree, USER_VARIABLES, adopt, adopt_all, claim, claimed, create_folders,
    duties, ending, free_space, host, local_socket, private, shell, start_again, sync_folder,
};

/// What this process was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By the one at the keyboard, or by a CI system that cancels.
    Interrupt,
    Terminate,
}

/// A file that only this process writes. The right to it ends with this, or with the process.
#[derive(Debug)]
pub struct Claimed {
    file: File,
    /// What holds the right, where the file itself does not.
    _lock: Option<File>,
}

impl Deref for Claimed {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
