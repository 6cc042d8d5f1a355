//! The cost of mailbox metering: `cargo bench --bench mailbox` sends the same messages to the same
//! actor through plain actix and through [`Address`], alternately, and prints the difference per
//! message.

#![expect(clippy::print_stdout, reason = "the results are printed")]
#![expect(clippy::indexing_slicing, reason = "a failed measurement should end the run")]

#[path = "measurement/statistics.rs"]
mod statistics;

use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use resume_chatbot::domain::component::Component;
use resume_chatbot::impl_mailbox;
use resume_chatbot::mailbox::{Address, Handle, Reply};
use resume_chatbot::telemetry::mailbox_metrics::MailboxRegistry;
use statistics::median;

const ROUNDS: usize = 31;
/// Messages sent without waiting, before one is awaited. The mailbox holds more.
const BATCH: u32 = 2_000;
const BATCHES: u32 = 20;
const REQUESTS: u32 = 20_000;

struct Counter {
    count: u64,
}

impl_mailbox!(Counter, Component::Other, 4096);

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

/// The same message, handled by actix directly.
#[derive(Message)]
#[rtype(result = "u64")]
struct PlainAdd(u64);

impl Handle<Add> for Counter {
    fn handle(&mut self, add: Add, _: &mut Self::Context) -> Reply<u64> {
        self.count += add.0;
        Reply::Now(self.count)
    }
}

impl Handler<PlainAdd> for Counter {
    type Result = u64;

    fn handle(&mut self, add: PlainAdd, _: &mut Self::Context) -> u64 {
        self.count += add.0;
        self.count
    }
}

fn main() {
    actix::System::new().block_on(async {
        let local = Counter { count: 0 }.start();
        compare_messages("messages, same thread", &local).await;
        compare_requests("requests, same thread", &local).await;
        let arbiter = actix::Arbiter::new().handle();
        let remote = Counter::start_in_arbiter(&arbiter, |_| Counter { count: 0 });
        compare_messages("messages, another thread", &remote).await;
        compare_requests("requests, another thread", &remote).await;
        measure_clock();
    });
}

/// Compares messages without a reply.
async fn compare_messages(what: &str, actor: &Addr<Counter>) {
    let metered = Address::<Add>::new(actor, &MailboxRegistry::default());
    let plain: Recipient<PlainAdd> = actor.clone().recipient();
    let (mut metered_times, mut plain_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..BATCHES {
            for _ in 1..BATCH {
                let _ = plain.try_send(PlainAdd(1));
            }
            let _ = plain.send(PlainAdd(1)).await;
        }
        plain_times.push(began.elapsed() / (BATCH * BATCHES));
        let began = Instant::now();
        for _ in 0..BATCHES {
            for _ in 1..BATCH {
                let _ = metered.tell(Add(1));
            }
            let _ = metered.ask(Add(1), Duration::from_secs(10)).await;
        }
        metered_times.push(began.elapsed() / (BATCH * BATCHES));
    }
    print_comparison(what, metered_times, plain_times);
}

/// Compares requests with a reply.
async fn compare_requests(what: &str, actor: &Addr<Counter>) {
    let metered = Address::<Add>::new(actor, &MailboxRegistry::default());
    let plain: Recipient<PlainAdd> = actor.clone().recipient();
    let timeout = Duration::from_secs(10);
    let (mut metered_times, mut plain_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            let _ = plain.send(PlainAdd(1)).timeout(timeout).await;
        }
        plain_times.push(began.elapsed() / REQUESTS);
        let began = Instant::now();
        for _ in 0..REQUESTS {
            let _ = metered.ask(Add(1), timeout).await;
        }
        metered_times.push(began.elapsed() / REQUESTS);
    }
    print_comparison(what, metered_times, plain_times);
}

/// Measures reading the clock, which is most of the cost: three times per message.
fn measure_clock() {
    let began = quanta::Instant::now();
    let mut last = began;
    for _ in 0..1_000_000 {
        last = quanta::Instant::now();
    }
    println!("reading the clock: {:.0} ns", last.duration_since(began).as_secs_f64() * 1e3);
}

fn print_comparison(what: &str, metered_times: Vec<Duration>, plain_times: Vec<Duration>) {
    let (metered, plain) = (median_nanos(metered_times), median_nanos(plain_times));
    println!(
        "{what:<26} {plain:>5} ns plain, {metered:>5} ns metered: {:+} ns, ratio {:.2}",
        i128::from(metered) - i128::from(plain),
        Duration::from_nanos(metered).as_secs_f64() / Duration::from_nanos(plain.max(1)).as_secs_f64()
    );
}

fn median_nanos(times: Vec<Duration>) -> u64 {
    u64::try_from(median(times, Duration::cmp).as_nanos()).unwrap_or(u64::MAX)
}
