//! Journals.

use async_trait::async_trait;
use std::fs;
use tempfile::TempDir;
use tidegate::{
    adapter::journal::file::{Config, FileJournal},
    port::{Journal, adapter::JournalAdapter as _},
};

use crate::{
    journal_suite::{self, Place},
    setting::setting,
};

struct Folder(TempDir);

#[async_trait]
impl Place for Folder {
    fn open(&self, environment: &str) -> Box<dyn Journal> {
        let mut setting = setting(self.0.path(), &[]);
        setting.environment = environment.parse().unwrap();
        let config: Config = serde_json::from_str("{}").unwrap();
        FileJournal::connect(config, &setting).unwrap()
    }
    async fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(".tidegate/journal/shop/production").join(name), text).unwrap();
    }
    async fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(".tidegate/journal/shop/production").join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_journal_of_files_keeps_what_journals_promise() {
    journal_suite::all(async || Folder(tempfile::tempdir().unwrap())).await;
}
