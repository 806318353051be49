//! A proxy in front of a broker, which can hold or drop responses.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Kafka's number of the produce request.
const PRODUCE: i16 = 0;

/// What happens to the responses to produce requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// They are passed on.
    Passed,
    /// They are held back; the connection stays open.
    Held,
    /// The connection is closed instead.
    Lost,
}

/// A proxy, which runs until the test's process ends.
#[derive(Clone)]
pub struct Gate(Rc<RefCell<State>>);

struct State {
    answers: Answers,
    /// Number of produce requests that the broker answered.
    answered: usize,
    connections: usize,
}

impl Gate {
    /// Starts a proxy for a broker's port on this listener.
    pub async fn open(listener: TcpListener, broker: u16) -> Self {
        let state = State { answers: Answers::Passed, answered: 0, connections: 0 };
        let gate = Self(Rc::new(RefCell::new(state)));
        let opened = gate.clone();
        tokio::task::spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)).await else { continue };
                gate.0.borrow_mut().connections += 1;
                tokio::task::spawn_local(gate.clone().pass(client, broker));
            }
        });
        opened
    }

    pub fn set(&self, answers: Answers) {
        self.0.borrow_mut().answers = answers;
    }

    /// Number of produce requests that the broker answered, whether or not the responses were
    /// passed on.
    pub fn answered(&self) -> usize {
        self.0.borrow().answered
    }

    /// Number of connections that were opened.
    pub fn connections(&self) -> usize {
        self.0.borrow().connections
    }

    async fn pass(self, client: TcpStream, broker: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_broker, mut to_broker) = broker.into_split();
        loop {
            let Some(request) = frame(&mut from_client).await else { return };
            let produces = request.get(4..6) == Some(&PRODUCE.to_be_bytes()[..]);
            let Some(()) = send(&mut to_broker, &request).await else { return };
            let Some(answer) = frame(&mut from_broker).await else { return };
            if produces {
                self.0.borrow_mut().answered += 1;
                let answers = self.0.borrow().answers;
                match answers {
                    Answers::Passed => {}
                    Answers::Held => std::future::pending().await,
                    Answers::Lost => return,
                }
            }
            let Some(()) = send(&mut to_client, &answer).await else { return };
        }
    }
}

async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_i32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(length).ok()?, 0);
    from.read_exact(frame.get_mut(4..)?).await.ok()?;
    Some(frame)
}

async fn send(to: &mut OwnedWriteHalf, bytes: &[u8]) -> Option<()> {
    to.write_all(bytes).await.ok()
}
