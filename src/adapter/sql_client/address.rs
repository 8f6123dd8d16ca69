//! Where a PostgreSQL server is, from a URL as `psql` takes it.

use std::{collections::BTreeMap, path::PathBuf};

use crate::port::{Fault, Secret, adapter::Environment};

/// A parsed `postgres://` URL. Never shown as a whole: the password is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Host names or socket folders, with their ports; tried in turn.
    pub hosts: Vec<(String, u16)>,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub encryption: Encryption,
    /// PEM file with the authorities to trust instead of the system's.
    pub root: Option<PathBuf>,
}

/// The server's part of `sslmode`, with libpq's meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    Disable,
    Prefer,
    /// Encrypted; the certificate is checked only where `sslrootcert` says against what.
    Require,
    /// Encrypted, with a certificate of a trusted authority.
    VerifyCa,
    /// Encrypted, with a certificate of a trusted authority for this host.
    VerifyFull,
}

impl Encryption {
    fn name(self) -> &'static str {
        match self {
            Encryption::Disable => "disable",
            Encryption::Prefer => "prefer",
            Encryption::Require => "require",
            Encryption::VerifyCa => "verify-ca",
            Encryption::VerifyFull => "verify-full",
        }
    }
}

const PORT: u16 = 5432;
/// Where Debian's and most other builds of libpq look for a socket.
const SOCKETS: &str = "/var/run/postgresql";

impl Address {
    /// Reads the secret. The message tells its name and never a part of its value.
    pub fn resolve(url: &Secret, env: &Environment) -> Result<Address, Fault> {
        let fault = |why: String| Fault::permanent("postgres", "read the address", url.to_string(), why);
        let text = url.resolve(env.as_ref()).map_err(fault)?;
        Address::parse(&text).map_err(|why| {
            fault(why.to_string()).hint(
                "postgres://user:password@host:5432/database, with %40 for @ and %2F for / in the password",
            )
        })
    }

    pub fn parse(text: &str) -> Result<Address, &'static str> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or("it does not begin with postgres://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (user, hosts),
            None => ("", authority),
        };
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (user, None),
        };
        let mut options = BTreeMap::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("an option after ? has no value")?;
            options.insert(key, decode(value)?);
        }
        let mut address = Address {
            hosts: Vec::new(),
            user: decode(user)?,
            password,
            database: decode(database)?,
            encryption: Encryption::Prefer,
            root: None,
        };
        let hosts = options.remove("host").unwrap_or_else(|| hosts.to_string());
        let port = options.remove("port");
        for host in hosts.split(',') {
            address.hosts.push(host_and_port(host, port.as_deref())?);
        }
        address.take_options(options)?;
        if address.user.is_empty() {
            return Err("it names no user");
        }
        if address.database.is_empty() {
            address.database = address.user.clone();
        }
        Ok(address)
    }

    fn take_options(&mut self, options: BTreeMap<&str, String>) -> Result<(), &'static str> {
        for (key, value) in options {
            match key {
                "user" => self.user = value,
                "password" => self.password = Some(value),
                "dbname" => self.database = value,
                "sslrootcert" if value != "system" => self.root = Some(value.into()),
                "sslmode" => {
                    self.encryption = match value.as_str() {
                        "disable" => Encryption::Disable,
                        "allow" | "prefer" => Encryption::Prefer,
                        "require" => Encryption::Require,
                        "verify-ca" => Encryption::VerifyCa,
                        "verify-full" => Encryption::VerifyFull,
                        _ => return Err("its sslmode is not one that libpq knows"),
                    }
                }
                "sslcert" | "sslkey" => {
                    return Err("client certificates (sslcert, sslkey) are not supported");
                }
                "options" | "service" | "passfile" => {
                    return Err("`options`, `service` and `passfile` are not supported in it");
                }
                // What pools and ORMs add (`pgbouncer`, `schema`, `connection_limit`) is not for us.
                _ => {}
            }
        }
        if self.root.is_some() && self.encryption == Encryption::Require {
            self.encryption = Encryption::VerifyCa;
        }
        Ok(())
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Address {
        Address { database: database.to_string(), ..self.clone() }
    }

    /// `host:port/database`, for messages.
    pub fn place(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("{}/{}", hosts.join(","), self.database)
    }

    /// The same for PostgreSQL's own programs, as environment variables: arguments can be read by every
    /// user of the machine.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let join = |parts: Vec<String>| parts.join(",");
        let mut variables = BTreeMap::from([
            ("PGHOST", join(self.hosts.iter().map(|(host, _)| host.clone()).collect())),
            ("PGPORT", join(self.hosts.iter().map(|(_, port)| port.to_string()).collect())),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGSSLMODE", self.encryption.name().to_string()),
            ("PGCONNECT_TIMEOUT", "10".to_string()),
            ("PGAPPNAME", "tidegate".to_string()),
        ]);
        if let Some(password) = &self.password {
            variables.insert("PGPASSWORD", password.clone());
        }
        if let Some(root) = &self.root {
            variables.insert("PGSSLROOTCERT", root.display().to_string());
        }
        variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

fn host_and_port(text: &str, port: Option<&str>) -> Result<(String, u16), &'static str> {
    let (host, own) = match text.rsplit_once(':') {
        Some((host, own)) if !host.contains(':') || host.ends_with(']') => (host, Some(own)),
        _ => (text, None),
    };
    let port = match own.or(port) {
        Some(port) => port.parse().map_err(|_| "its port is not a number up to 65535")?,
        None => PORT,
    };
    let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
    Ok((if host.is_empty() { SOCKETS.into() } else { host }, port))
}

fn decode(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "a % in it is not followed by two hexadecimal digits of UTF-8 text";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(WRONG);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| WRONG)?);
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_psql_reads_it() {
        let address =
            Address::parse("postgres://sh%40p:p%2Fw:1@db.example:6432/main?sslmode=require").unwrap();
        assert_eq!(address.place(), "db.example:6432/main");
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("sh@p", Some("p/w:1")));
        assert_eq!(address.encryption, Encryption::Require);
        let socket = Address::parse("postgresql://me@/x?host=/run/pg&port=99").unwrap();
        assert_eq!(socket.place(), "/run/pg:99/x");
        assert_eq!(Address::parse("postgres://me@%2Frun%2Fpg:9").unwrap().place(), "/run/pg:9/me");
        assert_eq!(Address::parse("postgres://me@[::1]:5,b/x").unwrap().place(), "::1:5,b:5432/x");
        let checked = Address::parse("postgres://u@h/x?sslmode=require&sslrootcert=/ca.pem").unwrap();
        assert_eq!(checked.encryption, Encryption::VerifyCa);
    }

    #[test]
    fn a_refusal_never_repeats_the_url() {
        for bad in [
            "mysql://u:S3@h/x",
            "postgres://h/x",
            "postgres://u:S3@h:99999/x",
            "postgres://u:%zz@h",
            "postgres://u:S3@h/x?sslmode=S3",
        ] {
            let why = Address::parse(bad).err().unwrap();
            assert!(!why.contains("S3"), "{why}");
        }
    }

    #[test]
    fn the_password_goes_to_programs_in_the_environment_only() {
        let address = Address::parse("postgres://u:secret@h/x").unwrap();
        assert_eq!(address.variables()["PGPASSWORD"], "secret");
        assert!(!address.place().contains("secret"));
    }
}
