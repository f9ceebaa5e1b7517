//! Runs the cases with one client stack: `wt-client --stack wtransport --url https://127.0.0.1:PORT --cert-hash HEX`.
//!
//! One line a case, `VERDICT NAME DETAIL`; a failed case makes the exit code 1.

use std::process::ExitCode;

use clap::Parser;
use interop_native::cases::{CASES, Verdict, Visit, run};
use interop_native::stack::Stack;
use interop_native::{Fault, parse_hash};

#[derive(Parser)]
#[command(about = "Runs WebTransport cases against the routes of Lorraine's demo.")]
struct Args {
    /// Whose client
    #[arg(long)]
    stack: Stack,
    /// The server, https://ADDRESS:PORT
    #[arg(long)]
    url: String,
    /// SHA-256 of its certificate, in hex
    #[arg(long, value_parser = parse_hash)]
    cert_hash: [u8; 32],
    /// Only this case; may be given several times
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Only print the names of the cases
    #[arg(long)]
    list: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Fault> {
    let args = Args::parse();
    if let Some(unknown) = args.cases.iter().find(|name| !CASES.iter().any(|(known, _)| known == name)) {
        return Err(format!("there is no case {unknown}").into());
    }
    let mut failed = 0;
    for (name, case) in
        CASES.iter().filter(|(name, _)| args.cases.is_empty() || args.cases.iter().any(|only| only == name))
    {
        if args.list {
            println!("{name}");
            continue;
        }
        let visit = Visit::new(args.stack, &args.url, args.cert_hash)?;
        let (verdict, took) = run(name, *case, &visit).await;
        visit.client.close().await;
        let detail = match &verdict {
            Verdict::Ok(remark) if remark.is_empty() => format!("{:.2} s", took.as_secs_f64()),
            Verdict::Ok(remark) => format!("{remark}, {:.2} s", took.as_secs_f64()),
            Verdict::Skip(reason) => reason.clone(),
            Verdict::Fail(words) => {
                failed += 1;
                words.clone()
            }
        };
        println!("{verdict} {name} {}", detail.replace('\n', " "));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
