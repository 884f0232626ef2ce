//! A server on loopback whose every byte a test decides.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// Accepts connections until it is dropped, and takes one request from each.
pub(crate) struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// The connection on which to answer a request that was received.
pub(crate) struct Exchange {
    /// Counts the server's requests, from 0.
    pub number: usize,
    stream: TcpStream,
}

impl Server {
    pub async fn start<F>(handle: impl Fn(Exchange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let handle = Arc::new(handle);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, handle) = (Arc::clone(&seen), Arc::clone(&handle));
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    if request.is_empty() {
                        return;
                    }
                    let number = {
                        let mut seen = seen.lock().expect("no test panics here");
                        seen.push(request);
                        seen.len() - 1
                    };
                    handle(Exchange { number, stream }).await;
                });
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    /// A server that gives every request the same answer.
    pub async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let (status, headers, body) = (status.to_owned(), headers.to_owned(), body.to_owned());
        Self::start(move |exchange| {
            let (status, headers, body) = (status.clone(), headers.clone(), body.clone());
            async move { exchange.answer(&status, &headers, &body).await }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics here").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exchange {
    /// Sends a complete answer; `headers` are whole lines.
    pub async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.send(&format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
            .await;
    }

    /// Sends these bytes as they are, and says whether the client still takes them.
    pub async fn send(&mut self, bytes: &str) -> bool {
        self.stream.write_all(bytes.as_bytes()).await.is_ok()
    }

    /// Returns when the client has closed the connection.
    pub async fn hang(mut self) {
        while matches!(self.stream.read(&mut [0; 1024]).await, Ok(1..)) {}
    }
}

/// Head and body of a request; empty when the connection brought none, or a TLS handshake.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return String::new(),
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
        if bytes[0] == TLS_HANDSHAKE {
            return String::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len()
                >= length.map_or(0, |length| length.parse().expect("a length is a number"))
            {
                return text.into_owned();
            }
        }
    }
}
