//! Several commands on several hosts, all at once. One that fails, or a host that cannot be reached, is a result like any
//! other and stops nobody else.
//!
//! `gather_results alice@one key_file known_hosts_file uptime,'df -h' two three:2222`

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Error, Output};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (first, words) = common::all_arguments("command,command… [host…]")?;
    let (commands, hosts) = words.split_first().ok_or("no commands")?;
    let others = hosts.iter().map(|host| first.at(host)).collect::<Vec<_>>();
    let mut runs = JoinSet::new();
    for server in std::iter::once(first).chain(others) {
        let commands: Vec<String> = commands.split(',').map(str::to_owned).collect();
        runs.spawn(async move { (server.address.clone(), run_all(&server, commands).await) });
    }
    while let Some((host, results)) = runs.join_next().await.transpose()? {
        match results {
            Ok(results) => results
                .iter()
                .for_each(|(command, result)| tell(&host, command, result)),
            Err(error) => println!("{host}: {error}"),
        }
    }
    Ok(())
}

type Results = Vec<(String, Result<Output, Error>)>;

/// All commands at once over one connection.
async fn run_all(server: &common::Server, commands: Vec<String>) -> Result<Results, Error> {
    let client = server.connect().await?;
    let mut runs = JoinSet::new();
    for command in commands {
        let run = client.exec(command.clone()).check();
        runs.spawn(async move { (command, run.output().await) });
    }
    Ok(runs.join_all().await)
}

fn tell(host: &str, command: &str, result: &Result<Output, Error>) {
    match result {
        Ok(output) => println!("{host}: {command}: {}", output.stdout_text().trim_end()),
        Err(error) => println!("{host}: {command}: {error}"),
    }
}
