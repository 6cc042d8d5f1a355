//! What measuring a mailbox costs: `cargo bench --bench mailbox` sends the same messages to the
//! same actor through actix alone and through [`Post`], in turns, and prints the difference for
//! each message.

#![expect(clippy::print_stdout, reason = "printing the figures is what it is for")]

use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use resume_chatbot::mailbox::{Mailboxes, Post, Receive, Reply};
use resume_chatbot::receives;
use resume_chatbot::supervision::Part;

const ROUNDS: usize = 31;
/// Told at once, then waited for: fewer than the mailbox holds.
const BATCH: u32 = 2_000;
const BATCHES: u32 = 20;
const ASKED: u32 = 20_000;

struct Counting {
    count: u64,
}

receives!(Counting, Part::Other, 4096);

impl Actor for Counting {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

/// The same, received by actix's own handler.
#[derive(Message)]
#[rtype(result = "u64")]
struct PlainAdd(u64);

impl Receive<Add> for Counting {
    fn receive(&mut self, add: Add, _: &mut Self::Context) -> Reply<u64> {
        self.count += add.0;
        Reply::Now(self.count)
    }
}

impl Handler<PlainAdd> for Counting {
    type Result = u64;

    fn handle(&mut self, add: PlainAdd, _: &mut Self::Context) -> u64 {
        self.count += add.0;
        self.count
    }
}

fn main() {
    actix::System::new().block_on(async {
        let here = Counting { count: 0 }.start();
        compare("told, actor on the same thread", &here).await;
        compare_asked("asked, actor on the same thread", &here).await;
        let there = Counting::start_in_arbiter(&actix::Arbiter::new().handle(), |_| Counting { count: 0 });
        compare("told, actor on another thread", &there).await;
        compare_asked("asked, actor on another thread", &there).await;
        clock();
    });
}

async fn compare(what: &str, actor: &Addr<Counting>) {
    let measured = Post::<Add>::to(actor, &Mailboxes::default());
    let plain: Recipient<PlainAdd> = actor.clone().recipient();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..BATCHES {
            for _ in 1..BATCH {
                let _ = plain.try_send(PlainAdd(1));
            }
            let _ = plain.send(PlainAdd(1)).await;
        }
        without.push(began.elapsed() / (BATCH * BATCHES));
        let began = Instant::now();
        for _ in 0..BATCHES {
            for _ in 1..BATCH {
                let _ = measured.tell(Add(1));
            }
            let _ = measured.ask(Add(1), Duration::from_secs(10)).await;
        }
        with.push(began.elapsed() / (BATCH * BATCHES));
    }
    print(what, with, without);
}

async fn compare_asked(what: &str, actor: &Addr<Counting>) {
    let measured = Post::<Add>::to(actor, &Mailboxes::default());
    let plain: Recipient<PlainAdd> = actor.clone().recipient();
    let patience = Duration::from_secs(10);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..ASKED {
            let _ = plain.send(PlainAdd(1)).timeout(patience).await;
        }
        without.push(began.elapsed() / ASKED);
        let began = Instant::now();
        for _ in 0..ASKED {
            let _ = measured.ask(Add(1), patience).await;
        }
        with.push(began.elapsed() / ASKED);
    }
    print(what, with, without);
}

/// Reading the clock is most of it: three times for each message.
fn clock() {
    let began = quanta::Instant::now();
    let mut last = began;
    for _ in 0..1_000_000 {
        last = quanta::Instant::now();
    }
    println!("one reading of the clock: {:.0} ns", last.duration_since(began).as_secs_f64() * 1e3);
}

fn print(what: &str, with: Vec<Duration>, without: Vec<Duration>) {
    let (with, without) = (median(with), median(without));
    println!(
        "{what:<32} {without:>5} ns plain, {with:>5} ns measured: {:+} ns, ratio {:.2}",
        i128::from(with) - i128::from(without),
        ratio(with, without)
    );
}

fn ratio(with: u64, without: u64) -> f64 {
    Duration::from_nanos(with).as_secs_f64() / Duration::from_nanos(without.max(1)).as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> u64 {
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    u64::try_from(middle.as_nanos()).unwrap_or(u64::MAX)
}
