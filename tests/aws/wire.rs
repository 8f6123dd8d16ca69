//! As much of HTTP/1.1 as a stand-in and a proxy need, on blocking sockets: one thread per connection.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// More than any request or answer of the tests.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// A message: its first line in three parts, headers in lower case, the body without framing.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub first: [String; 3],
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Of an answer.
    pub fn status(&self) -> u16 {
        self.first[1].parse().unwrap_or(0)
    }
}

/// Reads one message; `None` at the end of the connection.
pub fn read_request(stream: &mut (impl BufRead + Write)) -> io::Result<Option<Message>> {
    let Some(mut message) = read_head(stream)? else { return Ok(None) };
    if message.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        message.headers.retain(|(name, _)| name != "expect");
    }
    message.body = match (message.header("transfer-encoding"), message.header("content-length")) {
        (Some(_), _) => read_chunks(stream)?,
        (None, Some(length)) => read_exactly(stream, length.parse().map_err(io::Error::other)?)?,
        (None, None) => Vec::new(),
    };
    Ok(Some(message))
}

/// Reads the answer to a request of this method.
pub fn read_answer(stream: &mut impl BufRead, method: &str) -> io::Result<Message> {
    let mut message = loop {
        let head = read_head(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if head.status() != 100 {
            break head;
        }
    };
    let bodiless = method == "HEAD" || matches!(message.status(), 204 | 304);
    message.body = match (message.header("transfer-encoding"), message.header("content-length")) {
        _ if bodiless => Vec::new(),
        (Some(_), _) => read_chunks(stream)?,
        (None, Some(length)) => read_exactly(stream, length.parse().map_err(io::Error::other)?)?,
        (None, None) => {
            let mut body = Vec::new();
            stream.take(BODY_MAX as u64).read_to_end(&mut body)?;
            body
        }
    };
    Ok(message)
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(first) = read_line(stream)? else { return Ok(None) };
    let mut parts = first.splitn(3, ' ').map(str::to_string);
    let first = [(); 3].map(|()| parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some(Message { first, headers, body: Vec::new() }));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.take(64 * 1024).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_string()))
}

fn read_exactly(stream: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_MAX {
        return Err(io::Error::other(format!("a body of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            // trailers
            while !read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_exactly(stream, size)?);
        read_line(stream)?;
    }
}

/// The body of an upload in the SDK's own chunks (`aws-chunked`), whose trailers carry a checksum.
pub fn unchunked(mut body: &[u8]) -> io::Result<Vec<u8>> {
    read_chunks(&mut body)
}

/// Headers that speak of one connection only.
pub fn hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "transfer-encoding" | "proxy-connection" | "content-length")
}

/// An answer as bytes. `keep_length`: the length is told by the headers (an answer to HEAD).
pub fn bytes_of(answer: &Message, keep_length: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.first[1], reason(&answer.first[2]));
    for (name, value) in &answer.headers {
        if !hop_by_hop(name) || keep_length && name == "content-length" {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if !keep_length && answer.status() != 204 {
        text.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend(&answer.body);
    bytes
}

fn reason(text: &str) -> &str {
    if text.is_empty() { "X" } else { text }
}

/// Both halves of a connection, the reading one with a buffer.
pub struct Connection<S>(io::BufReader<S>);

impl<S: Read + Write> Connection<S> {
    pub fn new(stream: S) -> Self {
        Connection(io::BufReader::new(stream))
    }

    pub fn into_stream(self) -> S {
        self.0.into_inner()
    }
}

impl<S: Read> Read for Connection<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Read> BufRead for Connection<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<S: Read + Write> Write for Connection<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buffer)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

/// Takes connections on a free port of the loopback until it is dropped.
pub struct Listener {
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
    open: Arc<Mutex<BTreeMap<u64, TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// `serve` runs on a thread of its own for each connection; the connection ends when it returns.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let (its_end, its_open, serve) = (ended.clone(), open.clone(), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for (number, stream) in (0u64..).zip(listener.incoming()) {
                if its_end.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                let Ok(handle) = stream.try_clone() else { continue };
                its_open.lock().unwrap().insert(number, handle);
                let (serve, open) = (serve.clone(), its_open.clone());
                std::thread::spawn(move || {
                    serve(stream);
                    // the last handle: dropping it closes the connection
                    open.lock().unwrap().remove(&number);
                });
            }
        });
        Listener { address, ended, open, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // wakes the thread that waits for connections
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
