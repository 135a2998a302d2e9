//! Commands about the connection and the server.

use std::fmt::Write;

use super::{COMMANDS, Command, find, integer, is};
use crate::glob;
use crate::protocol::Args;
use crate::reply::Replies;
use crate::session::{Failure, Outcome, SYNTAX, Session, wrong_arity};

/// The version of Redis whose replies this server gives.
const REDIS_VERSION: &str = "7.0.0";

pub fn ping(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(wrong_arity("ping"));
    }
    if session.subscriptions() > 0 && !session.replies.is_resp3 {
        session.replies.array(2);
        session.replies.bulk("pong");
        session.replies.bulk(args.get(1).unwrap_or_default());
    } else if let Some(text) = args.get(1) {
        session.replies.bulk(text);
    } else {
        session.replies.status("PONG");
    }
    Ok(())
}

pub fn echo(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    session.replies.bulk(&args[1]);
    Ok(())
}

pub fn quit(session: &mut Session<'_>, _: Args<'_>) -> Outcome {
    session.is_closing = true;
    session.replies.ok();
    Ok(())
}

pub fn select(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    if integer(&args[1])? != 0 {
        return Err("ERR DB index is out of range".into());
    }
    session.replies.ok();
    Ok(())
}

pub fn hello(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let version = match args.get(1) {
        Some(version) => {
            let version =
                integer(version).map_err(|_| "ERR Protocol version is not an integer or out of range")?;
            if !matches!(version, 2 | 3) {
                return Err("NOPROTO unsupported protocol version".into());
            }
            version
        }
        None => 2 + i64::from(session.replies.is_resp3),
    };
    let mut name = None;
    let mut rest = args.from(2);
    while let Some(option) = rest.next() {
        if is(option, "AUTH") && rest.len() >= 2 {
            // As with the user `default` of a Redis that has no password, any password is right.
            let user = rest.next().unwrap_or_default();
            rest.next();
            if user != b"default" {
                return Err("WRONGPASS invalid username-password pair or user is disabled.".into());
            }
        } else if is(option, "SETNAME")
            && let Some(value) = rest.next()
        {
            name = Some(check_name(value)?);
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
        }
    }
    if let Some(name) = name {
        session.name = name;
    }
    session.replies.is_resp3 = version == 3;
    if let Some(subscriber) = &session.subscriber {
        subscriber.set_resp3(version == 3);
    }
    let id = i64::try_from(session.id).unwrap_or(i64::MAX);
    let replies = &mut session.replies;
    replies.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        replies.bulk(key);
        replies.bulk(value);
    }
    for (key, value) in [("proto", version), ("id", id)] {
        replies.bulk(key);
        replies.integer(value);
    }
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(key);
        replies.bulk(value);
    }
    replies.bulk("modules");
    replies.array(0);
    Ok(())
}

fn check_name(name: &[u8]) -> Result<Vec<u8>, Failure> {
    if !name.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".into());
    }
    Ok(name.to_vec())
}

/// Returns the error for a subcommand that does not exist.
fn unknown_subcommand(args: Args<'_>, command: &str) -> Failure {
    let name = String::from_utf8_lossy(&args[1]);
    format!("ERR unknown subcommand '{name}'. Try {command} HELP.").into()
}

pub fn client(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let name = args[1].to_ascii_uppercase();
    match (&*name, args.len()) {
        (b"ID", 2) => session.replies.integer(i64::try_from(session.id).unwrap_or(i64::MAX)),
        (b"GETNAME", 2) => {
            let name = Some(&session.name).filter(|name| !name.is_empty());
            session.replies.bulk_or_null(name);
        }
        (b"SETNAME", 3) => {
            session.name = check_name(&args[2])?;
            session.replies.ok();
        }
        (b"SETINFO", 4) => {
            if !is(&args[2], "LIB-NAME") && !is(&args[2], "LIB-VER") {
                return Err(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(&args[2])).into());
            }
            check_name(&args[3])?;
            session.replies.ok();
        }
        (b"ID" | b"GETNAME" | b"SETNAME" | b"SETINFO", _) => {
            return Err(wrong_arity(&format!("client|{}", String::from_utf8_lossy(&name).to_lowercase())));
        }
        _ => return Err(unknown_subcommand(args, "CLIENT")),
    }
    Ok(())
}

pub fn config(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    if !is(&args[1], "GET") {
        return Err(unknown_subcommand(args, "CONFIG"));
    }
    if args.len() < 3 {
        return Err(wrong_arity("config|get"));
    }
    let settings = &session.server.settings;
    let all = [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", settings.connections.to_string()),
        ("maxmemory", "0".to_owned()),
        ("port", settings.port.to_string()),
        ("proto-max-bulk-len", settings.frame.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    let is_wanted = |name: &str| {
        args.from(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let wanted = all.iter().filter(|(name, _)| is_wanted(name)).collect::<Vec<_>>();
    session.replies.map(wanted.len());
    for (name, value) in wanted {
        session.replies.bulk(name);
        session.replies.bulk(value);
    }
    Ok(())
}

pub fn command(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let replies = &mut session.replies;
    match args.get(1) {
        None => {
            replies.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| describe(replies, command));
        }
        Some(name) if is(name, "COUNT") && args.len() == 2 => replies.count(COMMANDS.len()),
        Some(name) if is(name, "INFO") => {
            replies.array(args.len() - 2);
            for name in args.from(2) {
                match find(name) {
                    Some(command) => describe(replies, command),
                    None => replies.null(),
                }
            }
        }
        // `redis-cli` asks for this when it starts, and can do without.
        Some(name) if is(name, "DOCS") => replies.map(0),
        Some(_) => return Err(unknown_subcommand(args, "COMMAND")),
    }
    Ok(())
}

fn describe(replies: &mut Replies, command: &Command) {
    replies.array(6);
    replies.bulk(command.name.to_ascii_lowercase());
    replies.integer(command.arity);
    replies.set(1);
    replies.status(if command.is_write { "write" } else { "readonly" });
    command.keys.iter().for_each(|key| replies.integer(*key));
}

pub fn info(session: &mut Session<'_>, args: Args<'_>) -> Outcome {
    let server = session.server;
    let keys = server.store.shards().map(|shard| shard.len()).sum::<usize>();
    let sections = [
        (
            "Server",
            format!(
                "redis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nprocess_id:{}\r\ntcp_port:{}\r\n\
                 uptime_in_seconds:{}\r\n",
                std::process::id(),
                server.settings.port,
                server.start.elapsed().as_secs()
            ),
        ),
        (
            "Clients",
            format!(
                "connected_clients:{}\r\nmaxclients:{}\r\n",
                server.clients.len(),
                server.settings.connections
            ),
        ),
        ("Stats", format!("total_connections_received:{}\r\n", server.clients.total())),
        ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("Keyspace", if keys == 0 { String::new() } else { format!("db0:keys={keys}\r\n") }),
    ];
    let is_wanted = |name: &str| {
        let is_all = |arg: &[u8]| ["all", "default", "everything"].iter().any(|word| is(arg, word));
        args.len() == 1 || args.from(1).any(|arg| is(arg, name) || is_all(arg))
    };
    let mut text = String::new();
    for (name, lines) in sections.iter().filter(|(name, _)| is_wanted(name)) {
        let separator = if text.is_empty() { "" } else { "\r\n" };
        write!(text, "{separator}# {name}\r\n{lines}").map_err(|_| SYNTAX)?;
    }
    session.replies.verbatim(&text);
    Ok(())
}
