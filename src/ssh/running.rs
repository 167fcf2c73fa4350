//! A command that runs: its channel, its streams, and how to end it.

use super::{
    command::{Command, LoginShell, Pty, Stdin, Wrapped},
    connection::Shared,
    end,
    exec::Execution,
    link::Turn,
    marker::Marker,
    output::{ExitStatus, Output, tail},
    pool::Pool,
    sink::Sink,
};
use ssh2::{Channel, ErrorCode};
use std::{
    future::{Future, pending, poll_fn},
    io::{Read as _, Write as _},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep, sleep_until};

/// How much a login shell's start files may print.
const PRELUDE_MAX: usize = 1 << 20;
/// How much is read at once; libssh2 puts several packets together.
const CHUNK: usize = 64 << 10;
/// How often a login shell whose start files may wait for a line gets an empty one, until the command has begun.
const NUDGE: Duration = Duration::from_secs(1);
/// After how many of them its input ends, since they may wait for that.
const NUDGES: u32 = 30;
/// After a command's end, how long its streams may be silent before we no longer wait for their end: a background
/// process holds them.
const QUIET: Duration = Duration::from_millis(500);
/// And how long they may go on, if they are never silent.
const TALKATIVE: Duration = Duration::from_secs(5);
/// How long each step of ending a command may take, nobody waiting for it.
const ENDING: Duration = Duration::from_secs(60);
/// How long we wait for the server to close a channel that we closed.
const CLOSING: Duration = Duration::from_secs(2);
/// libssh2's code for a request that the server refuses: CHANNEL_REQUEST_DENIED.
const DENIED: ErrorCode = ErrorCode::Session(-22);

/// Why a command's streams are no longer read.
pub(super) enum End {
    /// It ended, and the channel with it.
    Closed,
    /// It ended, but somebody else keeps the streams open.
    LeftOpen,
    /// The connection broke.
    Failed(ssh2::Error),
    /// The server refuses this.
    Denied(&'static str),
    TimedOut,
    TooMuch,
    /// Its login shell's start files had what it was to read.
    Starved,
    /// Nobody waits for it any more.
    Abandoned,
}

pub(super) struct Running {
    shared: Rc<Shared>,
    channel: Channel,
    marker: Marker,
    reading: [Turn; 2],
    writing: Turn,
    waiting: Turn,
    closing: Turn,
    is_terminal: bool,
    /// What came on stdout before the command began: what its login shell's start files print; `None` since it began.
    prelude: Option<Vec<u8>>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What goes before its input, once it has begun; `None` since then, or where it has no input.
    held: Option<Vec<u8>>,
    /// When the next empty line is sent to its login shell's start files, and how many were.
    nudge: Instant,
    nudges: u32,
    /// What is left to write of the current chunk, and where the next ones come from.
    input: Vec<u8>,
    written: usize,
    stdin: Stdin,
    stdin_closed: bool,
    chunk: Box<[u8]>,
    /// When it was found to have ended, and when it was last heard since.
    ended: Option<(Instant, Instant)>,
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The channel has closed, or broke.
    is_over: bool,
}

/// What is done with what is read.
struct Taker {
    limit: usize,
    /// Where stdout goes instead of being kept.
    stdout: Option<Sink>,
    /// Whether streams that stay open after the command's end are given up.
    gives_up: bool,
}

impl Running {
    pub(super) fn new(shared: Rc<Shared>, channel: Channel, marker: Marker, command: &mut Command) -> Self {
        let turn = || shared.link.turn();
        Self {
            channel,
            marker,
            reading: [turn(), turn()],
            writing: turn(),
            waiting: turn(),
            closing: turn(),
            is_terminal: command.pty.is_some(),
            // In a terminal both streams are one, which is searched for our lines as a whole.
            prelude: command.pty.is_none().then(Vec::new),
            stdout: Vec::new(),
            stderr: Vec::new(),
            held: None,
            nudge: Instant::now() + NUDGE,
            nudges: 0,
            input: Vec::new(),
            written: 0,
            stdin: std::mem::take(&mut command.stdin),
            stdin_closed: false,
            chunk: vec![0; CHUNK].into_boxed_slice(),
            ended: None,
            alarm: None,
            is_over: false,
            shared,
        }
    }

    /// Sends the requests that start the command.
    pub(super) async fn start(&mut self, wrapped: Wrapped, pty: Option<Pty>) -> Result<(), End> {
        let (link, channel) = (&self.shared.link, &mut self.channel);
        let told =
            |error: ssh2::Error, what| if error.code() == DENIED { End::Denied(what) } else { End::Failed(error) };
        if let Some(size) = pty {
            let size = Some((size.columns, size.rows, 0, 0));
            link.call(|_| channel.request_pty("xterm", None, size)).await.map_err(|error| told(error, "a terminal"))?;
        }
        let has_input = !wrapped.preamble.is_empty() || !matches!(self.stdin, Stdin::Empty);
        self.held = has_input.then_some(wrapped.preamble);
        link.call(|_| channel.exec(&wrapped.request)).await.map_err(|error| told(error, "to run commands"))
    }

    /// Moves all streams until the command ends, or must be ended.
    pub(super) async fn until_end(&mut self, execution: &mut Execution) -> End {
        let mut taker = Taker {
            limit: execution.command.limit.0,
            stdout: execution.command.stdout.take().map(Sink::new),
            gives_up: true,
        };
        let mut deadline = execution.deadline.map(|deadline| Box::pin(sleep_until(deadline.into())));
        let end = poll_fn(|context| {
            if execution.poll_abandoned(context).is_ready() {
                return Poll::Ready(End::Abandoned);
            }
            let step = self.step(context, &mut taker);
            if step.is_pending() && deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
                return Poll::Ready(End::TimedOut);
            }
            step
        })
        .await;
        if let Some((_, shell)) = &self.marker.started {
            execution.pool.set_login_shell(LoginShell::of(shell));
        }
        end
    }

    /// Reads and writes what can be without waiting.
    fn step(&mut self, context: &mut Context<'_>, taker: &mut Taker) -> Poll<End> {
        let mut was_heard = false;
        for number in [0, 1] {
            match self.read(context, number, taker) {
                Poll::Ready(Ok(0)) | Poll::Pending => {}
                Poll::Ready(Ok(_)) => was_heard = true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
            }
        }
        if self.marker.is_starved {
            return Poll::Ready(End::Starved);
        }
        if self.channel.eof() {
            let channel = &mut self.channel;
            match self.shared.link.attempt(self.waiting, |_| channel.wait_close()) {
                Poll::Ready(Ok(())) => return Poll::Ready(End::Closed),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(Err(error)) = self.write(context) {
            return Poll::Ready(End::Failed(error));
        }
        if self.ended.is_none() && self.has_ended() {
            self.ended = Some((Instant::now(), Instant::now()));
        }
        // Streams that are at their end wait for nobody but the server, which then closes.
        if taker.gives_up
            && let Some((ended, heard)) = &mut self.ended
            && !self.channel.eof()
        {
            if was_heard {
                *heard = Instant::now();
            }
            let until = (*heard + QUIET).min(*ended + TALKATIVE);
            if self.rings(context, until) {
                return Poll::Ready(End::LeftOpen);
            }
        }
        Poll::Pending
    }

    fn read(&mut self, context: &mut Context<'_>, number: usize, taker: &mut Taker) -> Poll<Result<usize, End>> {
        // While its taker is full, so is a stream, and only that one.
        let mut sink = taker.stdout.as_mut().filter(|_| number == 0);
        match sink.as_mut().map(|sink| sink.poll_ready(context)) {
            None | Some(Poll::Ready(true)) => {}
            Some(Poll::Ready(false)) => return Poll::Ready(Err(End::Abandoned)),
            Some(Poll::Pending) => return Poll::Pending,
        }
        let chunk = &mut self.chunk;
        let mut stream = self.channel.stream(i32::try_from(number).unwrap_or_default());
        let length = match self.shared.link.attempt_io(self.reading[number], || stream.read(chunk)) {
            Poll::Ready(Ok(length)) => length,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Failed(error))),
            Poll::Pending => return Poll::Pending,
        };
        let begun;
        let bytes = match (&mut self.prelude, number) {
            (Some(prelude), 0) => {
                prelude.extend_from_slice(&self.chunk[..length]);
                if prelude.len() > PRELUDE_MAX {
                    return Poll::Ready(Err(End::TooMuch));
                }
                if !self.marker.cut_prelude(prelude) {
                    return Poll::Ready(Ok(length));
                }
                begun = self.prelude.take().unwrap_or_default();
                &begun[..]
            }
            _ => &self.chunk[..length],
        };
        if let Some(sink) = sink {
            sink.send(bytes);
            return Poll::Ready(Ok(length));
        }
        let stream = if number == 0 { &mut self.stdout } else { &mut self.stderr };
        stream.extend_from_slice(bytes);
        if (number == 1) != self.is_terminal {
            self.marker.take_from(stream);
        }
        if stream.len() > taker.limit {
            stream.truncate(taker.limit);
            return Poll::Ready(Err(End::TooMuch));
        }
        Poll::Ready(Ok(length))
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ssh2::Error>> {
        while !self.stdin_closed {
            if self.written == self.input.len() {
                // What is written is gone at once: the next chunk may be a while in coming.
                self.input.clear();
                self.written = 0;
                self.input = match self.next_input(context) {
                    Poll::Ready(chunk) => chunk,
                    Poll::Pending => return Poll::Pending,
                };
            }
            let (link, channel) = (&self.shared.link, &mut self.channel);
            if self.input.is_empty() {
                match link.attempt(self.writing, |_| channel.send_eof()) {
                    Poll::Ready(Ok(())) => self.stdin_closed = true,
                    other => return other,
                }
            } else {
                let rest = &self.input[self.written..];
                match link.attempt_io(self.writing, || channel.write(rest)) {
                    Poll::Ready(Ok(length)) => self.written += length,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What is to be written next; nothing at its end.
    ///
    /// A login shell's start files have the same input as the command, and may read it. So they get nothing of it: now and then an
    /// empty line, for which one may wait, and in the end its end.
    fn next_input(&mut self, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        if self.has_begun() {
            if let Some(preamble) = self.held.take().filter(|preamble| !preamble.is_empty()) {
                return Poll::Ready(preamble);
            }
        } else if self.held.is_some() {
            if self.is_terminal || !self.rings(context, self.nudge) {
                return Poll::Pending;
            }
            self.nudge += NUDGE;
            self.nudges += 1;
            if self.nudges <= NUDGES {
                return Poll::Ready(b"\n".to_vec());
            }
            self.held = None;
            self.stdin = Stdin::Empty;
        }
        match &mut self.stdin {
            Stdin::Empty => Poll::Ready(Vec::new()),
            Stdin::Bytes(bytes) => Poll::Ready(std::mem::take(bytes)),
            Stdin::Chunks(chunks) => chunks.poll_recv(context).map(Option::unwrap_or_default),
        }
    }

    /// Whether the login shell has come to the command.
    pub(super) fn has_begun(&self) -> bool {
        self.marker.started.is_some() || (self.prelude.is_none() && !self.is_terminal)
    }

    /// Whether the command has ended, as far as can be known while its streams are open.
    fn has_ended(&self) -> bool {
        self.marker.is_ending
            || self.channel.exit_status().is_ok_and(|status| status != 0)
            || self.channel.exit_signal().is_ok_and(|signal| signal.exit_signal.is_some())
    }

    /// Whether a time has come; if not, we are woken then.
    fn rings(&mut self, context: &mut Context<'_>, at: Instant) -> bool {
        if self.alarm.as_ref().is_none_or(|(set, _)| *set != at) {
            self.alarm = Some((at, Box::pin(sleep_until(at.into()))));
        }
        self.alarm.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready())
    }

    /// What came of it.
    pub(super) fn output(&mut self, started: Instant, left_open: bool) -> Output {
        let signal = self.channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
        let status = match signal {
            Some(name) => ExitStatus::Signaled(name.trim_start_matches("SIG").to_owned()),
            None => ExitStatus::Exited(self.channel.exit_status().unwrap_or(-1)),
        };
        // Where the login shell never came to the command, what it said is all that there is.
        let stdout = self.prelude.take().unwrap_or_else(|| std::mem::take(&mut self.stdout));
        let stderr = std::mem::take(&mut self.stderr);
        Output::new(stdout, stderr, status, started.elapsed(), left_open)
    }

    /// The ends of what it wrote so far to stdout and stderr.
    pub(super) fn tails(&self) -> (String, String) {
        (tail(self.prelude.as_ref().unwrap_or(&self.stdout)), tail(&self.stderr))
    }

    /// Ends the command's processes; says what came of that.
    pub(super) async fn end_processes(&mut self, pool: Arc<Pool>) -> String {
        // It may not have told its number yet.
        self.read_on(sleep(ENDING), |running| running.marker.started.is_some()).await;
        let Some((process, _)) = self.marker.started else {
            return "and could not be ended, because it did not tell its process".into();
        };
        // Its channel moves on meanwhile: a packet of its own that is partly sent would hold up the others.
        let ended = pool.run_urgently(end::command(process), Instant::now() + ENDING);
        match self.read_on(ended, |_| false).await {
            Some(Ok(output)) if output.status.is_success() => "and was ended".into(),
            Some(Ok(output)) => format!("and could not be ended: {}", output.stderr.trim()),
            Some(Err(error)) => format!("and could not be ended: failed to {error}"),
            None => "and could not be ended".into(),
        }
    }

    /// Reads on, and throws away, until the channel closes.
    pub(super) async fn drain(&mut self) {
        let closed = |running: &Self| running.is_over;
        self.read_on(pending::<()>(), closed).await;
        self.close().await;
    }

    /// Reads on, and throws away, until something else is done, or it is enough.
    async fn read_on<T>(&mut self, other: impl Future<Output = T>, is_enough: impl Fn(&Self) -> bool) -> Option<T> {
        let mut taker = Taker { limit: usize::MAX, stdout: None, gives_up: false };
        let mut other = pin!(other);
        poll_fn(|context| {
            if !self.is_over {
                self.is_over = self.step(context, &mut taker).is_ready();
                if self.marker.started.is_some() {
                    self.stdout.clear();
                    self.stderr.clear();
                }
            }
            if is_enough(self) {
                return Poll::Ready(None);
            }
            other.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Closes the channel, and waits a little for the server to do so.
    pub(super) async fn close(&mut self) {
        let mut patience = Box::pin(sleep(CLOSING));
        poll_fn(|context| {
            if !self.settle(context) {
                return Poll::Pending;
            }
            let (link, channel) = (&self.shared.link, &mut self.channel);
            match link.attempt(self.closing, |_| channel.close()) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending if link.is_sending(self.closing) => Poll::Pending,
                Poll::Pending => patience.as_mut().poll(context),
            }
        })
        .await;
    }

    /// Completes a packet of ours that is partly sent, since nobody else can; says whether there is none.
    fn settle(&mut self, context: &mut Context<'_>) -> bool {
        let mut taker = Taker { limit: usize::MAX, stdout: None, gives_up: false };
        for number in [0, 1] {
            if self.shared.link.is_sending(self.reading[number]) {
                let _ = self.read(context, number, &mut taker);
            }
        }
        if self.shared.link.is_sending(self.waiting) {
            let channel = &mut self.channel;
            let _ = self.shared.link.attempt(self.waiting, |_| channel.wait_close());
        }
        if self.shared.link.is_sending(self.writing) {
            let _ = self.write(context);
        }
        let turns = [self.reading[0], self.reading[1], self.waiting, self.writing];
        !turns.into_iter().any(|turn| self.shared.link.is_sending(turn))
    }
}
