//! The file that carries weights over a reload: the answer to `show servers state`, kept.

use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::look::Member;
use crate::{
    adapter::haproxy_api::{PROVIDER, Socket, tables::Table},
    platform,
    port::Context,
};

const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Replaces the file in one step.
pub async fn write(cx: &Context, socket: &Socket, path: &Path) -> Result<(), String> {
    let answer = socket.call(cx, "show servers state").await;
    let answer = answer.map_err(|f| f.reading("read the servers", PROVIDER).to_string())?;
    Table::servers_state(&answer).map_err(|why| why.detail)?;
    let beside = temporary(path);
    let replace = async {
        let mut file = tokio::fs::File::create(&beside).await?;
        file.write_all(answer.as_bytes()).await?;
        file.sync_all().await?;
        platform::adopt(&file.into_std().await, &beside);
        tokio::fs::rename(&beside, path).await
    };
    let replaced = match cx.bounded(replace).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(limit) => Err(format!("not written within {:?}", limit.0)),
    };
    if replaced.is_err() {
        let _ = tokio::fs::remove_file(&beside).await;
    }
    replaced
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".tidegate-{}", std::process::id()));
    path.with_file_name(name)
}

/// Whether a reload that loads the file brings the present weights back; if not, why.
pub async fn compare(path: &Path, backend: &str, members: &[Member]) -> Result<(), String> {
    let text = read(path).await.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let table =
        Table::servers_state(&text).map_err(|_| format!("{} is not a server-state file", path.display()))?;
    for member in members {
        let row = table.rows().find(|r| r.text("be_name") == backend && r.text("srv_name") == member.name);
        let kept = row.map(|r| (r.number("srv_uweight"), r.number("srv_iweight")));
        match kept {
            None => return Err(format!("{} does not know {}", path.display(), member.name)),
            Some((_, configured)) if configured != Some(member.weight_configured) => {
                return Err(format!(
                    "the configured weight of {} is not the one in {}",
                    member.name,
                    path.display()
                ));
            }
            Some((weight, _)) if weight != Some(member.weight) => {
                let kept = weight.map_or("nothing".into(), |w| w.to_string());
                return Err(format!(
                    "{} has {kept} for {}, which is at {}",
                    path.display(),
                    member.name,
                    member.weight
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).await?;
    Ok(text)
}
