//! A part that could not be connected, in a command that goes on without it: it says why when it is used.

use async_trait::async_trait;

use crate::{
    domain::record::Record,
    port::{
        Appended, Command, Context, Fault, Journal, Progress,
        command::{Output, Task},
    },
};

pub(crate) struct Absent {
    /// Where it stands in the file.
    pub path: String,
    pub why: String,
}

impl Absent {
    fn fault(&self, operation: &str) -> Fault {
        Fault::permanent("the config", operation, &self.path, &self.why)
    }
}

#[async_trait]
impl Command for Absent {
    async fn run(&self, _cx: &Context, task: &Task, _progress: &dyn Progress) -> Result<Output, Fault> {
        Err(self.fault(&format!("run {}", task.name)))
    }
}

#[async_trait]
impl Journal for Absent {
    async fn head(&self, _cx: &Context) -> Result<Option<Record>, Fault> {
        Err(self.fault("read the journal"))
    }

    async fn read(&self, _cx: &Context, _seq: u64) -> Result<Option<Record>, Fault> {
        Err(self.fault("read the journal"))
    }

    async fn load(&self, _cx: &Context, _from: u64) -> Result<Vec<Record>, Fault> {
        Err(self.fault("read the journal"))
    }

    async fn append(&self, _cx: &Context, _record: &Record) -> Result<Appended, Fault> {
        Err(self.fault("write the journal"))
    }

    fn place(&self) -> String {
        self.path.clone()
    }

    fn lease_seconds(&self) -> u64 {
        0
    }
}
