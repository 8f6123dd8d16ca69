//! What a person should know before a database is dumped.

use super::{Postgres, number, tools::Tools, version};
use crate::{
    adapter::{
        database::space,
        sql_client::{address::Address, address::Encryption, postgres::Client},
    },
    port::{Context, Fault, Finding, Grade},
};

/// Tables and sequences the user may not read.
const UNREADABLE: &str = "select count(*), min(c.oid::regclass::text) from pg_class c \
    join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'm', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
    and not case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'SELECT') \
    else has_table_privilege(c.oid, 'SELECT') and has_schema_privilege(n.oid, 'USAGE') end";

const MAY_CREATE: &str = "select (rolcreatedb or rolsuper)::int from pg_roles where rolname = current_user";

impl Postgres {
    pub(super) async fn look(&self, cx: &Context) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Err(fault) = self.look_into(cx, &mut found).await {
            found.push(Finding::fault(self.about(), &fault));
        }
        found
    }

    fn about(&self) -> String {
        format!("databases.{}", self.name)
    }

    async fn look_into(&self, cx: &Context, found: &mut Vec<Finding>) -> Result<(), Fault> {
        let about = self.about();
        let address = Address::resolve(&self.url, &self.env)?;
        let mut client = Client::connect(cx, address.clone()).await?;
        let (server, version) = version(&mut client, cx).await?;
        let tools = Tools::find(cx, server, &self.env).await?;
        let text = format!("PostgreSQL {version} at {}, pg_dump {}", address.place(), tools.major);
        found.push(Finding::new(Grade::Ok, &about, text));
        if address.encryption == Encryption::Require {
            let text = "sslmode=require encrypts but does not check who answers; verify-full does";
            found.push(Finding::new(Grade::Warn, &about, text));
        }
        let size = number(&mut client, cx, "select pg_database_size(current_database())").await?;
        // A compressed dump without indexes is hardly ever below a twentieth.
        found.push(space(&about, self.store.folder(), size, size / 20));
        let rows = client.rows(cx, UNREADABLE).await?;
        if let Some([Some(count), Some(first)]) = rows.first().map(Vec::as_slice)
            && count != "0"
        {
            let text = format!("{} may not read {count} tables or sequences, such as {first}", address.user);
            found.push(Finding::new(Grade::Refuse, &about, text));
        }
        if number(&mut client, cx, MAY_CREATE).await? == 0 {
            let text = format!("{} may not create databases, so it cannot restore one", address.user);
            found.push(Finding::new(Grade::Warn, &about, text));
        }
        Ok(())
    }
}
