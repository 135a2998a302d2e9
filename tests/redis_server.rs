//! The commands of the example `redis_server`, run as a process: through the crate `redis`, and compared with the
//! replies of Redis itself.

#[path = "support/redis.rs"]
mod support;

use std::collections::{HashMap, HashSet};

use kahn::interop::RedisConnection;
use redis::{Commands, ConnectionLike, Msg, Value};
use support::{Raw, Server, encode, wait_until};

#[test]
fn client_of_the_crate_redis_uses_all_types_in_both_protocols() {
    let server = Server::start(&[]);
    for protocol in ["resp2", "resp3"] {
        let mut client = server.client(protocol);
        let () = redis::cmd("FLUSHALL").query(&mut client).unwrap();
        let () = client.set("text", "value").unwrap();
        assert_eq!(client.get::<_, String>("text").unwrap(), "value");
        assert_eq!(client.get::<_, Option<String>>("none").unwrap(), None);
        assert_eq!(client.incr::<_, _, i64>("count", 41).unwrap(), 41);
        assert_eq!(client.append::<_, _, usize>("text", "s").unwrap(), 6);
        let () = client.mset(&[("a", 1), ("b", 2)]).unwrap();
        let read = client.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"]).unwrap();
        assert_eq!(read, [Some(1), None, Some(2)]);
        let () = client.rpush("list", &["x", "y", "z"]).unwrap();
        assert_eq!(client.lrange::<_, Vec<String>>("list", 0, -2).unwrap(), ["x", "y"]);
        assert_eq!(client.lpop::<_, String>("list", None).unwrap(), "x");
        let () = client.hset("hash", "field", 1).unwrap();
        assert_eq!(client.hincr::<_, _, _, i64>("hash", "field", 2).unwrap(), 3);
        let hash = client.hgetall::<_, HashMap<String, i64>>("hash").unwrap();
        assert_eq!(hash, HashMap::from([("field".to_owned(), 3)]));
        let () = client.sadd("set", &["m", "n", "m"]).unwrap();
        let set = client.smembers::<_, HashSet<String>>("set").unwrap();
        assert_eq!(set, HashSet::from(["m".to_owned(), "n".to_owned()]));
        let keys = client.scan::<String>().unwrap().map(Result::unwrap).collect::<HashSet<_>>();
        assert_eq!(keys.len(), 7, "{keys:?}");
        let matching = client.scan_match::<_, String>("[a-b]").unwrap().map(Result::unwrap);
        assert_eq!(matching.collect::<HashSet<_>>(), HashSet::from(["a".to_owned(), "b".to_owned()]));
        let error = client.incr::<_, _, i64>("set", 1).unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let pipelined: (i64, Vec<i64>) =
            redis::pipe().incr("a", 1).cmd("MGET").arg("a").arg("b").query(&mut client).unwrap();
        assert_eq!(pipelined, (2, vec![2, 2]));
    }
}

#[test]
fn green_threads_use_the_crate_redis_on_streams_of_kahn() {
    const CLIENTS: usize = 20;
    const ROUNDS: usize = 50;
    let server = Server::start(&[]);
    let address = server.address;
    for (workers, protocol) in [(1, "resp2"), (1, "resp3"), (4, "resp3")] {
        kahn::Runtime::builder().workers(workers).build().unwrap().run(|| {
            let url = format!("redis://{address}/?protocol={protocol}");
            let connect = || RedisConnection::connect(url.as_str()).unwrap();
            let mut client = connect();
            let () = redis::cmd("FLUSHALL").query(&mut client).unwrap();
            kahn::scope(|s| {
                for _ in 0..CLIENTS {
                    s.spawn(|| {
                        let mut client = connect();
                        for _ in 0..ROUNDS {
                            let () =
                                redis::pipe().incr("count", 1).incr("count", 1).query(&mut client).unwrap();
                        }
                    });
                }
            });
            assert_eq!(client.get::<_, usize>("count").unwrap(), 2 * CLIENTS * ROUNDS);
            let () = client.sadd("set", &["a", "b"]).unwrap();
            assert_eq!(client.smembers::<_, HashSet<String>>("set").unwrap().len(), 2);
            let keys = client.scan::<String>().unwrap().map(Result::unwrap).collect::<HashSet<_>>();
            assert_eq!(keys.len(), 2);
            assert!(client.check_connection() && client.is_open());

            let mut subscriber = connect();
            subscriber
                .send_packed_command(&redis::cmd("SUBSCRIBE").arg("news").get_packed_command())
                .unwrap();
            subscriber.recv_response().unwrap();
            assert_eq!(client.publish::<_, _, usize>("news", "text").unwrap(), 1);
            let message = Msg::from_owned_value(subscriber.recv_response().unwrap()).unwrap();
            assert_eq!(message.get_payload::<String>().unwrap(), "text");
        });
    }
}

/// Commands with one reply for each state of the database. Redis and the example have to give the same.
const SCRIPT: &str = r#"
GET k | SET k v | GET k | SET k w NX | SET k w XX | SET n 1 XX | SET n 1 NX | GET k | SET k x GET | SET q x GET
SET k v EX | SET k v EX 0 | SET k v PX -5 | SET k v EX abc | SET k v EX 9223372036854775807 | SET k v NX XX
SET k v KEEPTTL EX 5 | SET k v EX 5 PX 5 | SET k v BOGUS | SET k v EX 100 | TTL k | SET k w KEEPTTL | TTL k | SET k u | TTL k
SET k v EXAT 9999999999 | SET k v PXAT 9999999999999 | PERSIST k | PERSIST k | TTL k | PTTL k | TTL none | PTTL none
SET k w NX GET | SET fresh w NX GET | GET fresh | SET | SET k | GET | GET a b | get k | GeT k
SETEX k 100 v | TTL k | SETEX k 0 v | SETEX k x v | PSETEX k 100000 v | TTL k | PSETEX k -1 v | SETNX k v | SETNX k2 v
GETSET k old | TTL k | GETSET new v | GETDEL new | GETDEL new | APPEND k more | APPEND app x | STRLEN k | STRLEN none
INCR c | INCR c | INCRBY c 40 | DECR c | DECRBY c 2 | GET c | INCR k | INCRBY c x | INCRBY c 1.5 | SET c 9223372036854775807
INCR c | INCRBY c 1 | DECRBY c -1 | DECRBY c -9223372036854775808 | SET c -9223372036854775808 | DECR c | SET c 010 | INCR c | SET c -0 | INCR c
SET c "" | INCR c | SET c " 1" | INCR c | SET c 0 | DECR c | GET c
MSET a 1 b 2 c 3 | MGET a b c none | MSET a | MSET a 1 b | MGET | DEL a b none | DEL a | EXISTS a b c c | EXISTS none | UNLINK c
EXPIRE k 100 | TTL k | EXPIRE none 100 | EXPIRE k x | EXPIRE k 9223372036854775807 | PEXPIRE k 100000 | TTL k | EXPIRE k -1 | EXISTS k
SET k v | EXPIRE k 100 XX | EXPIRE k 100 NX | EXPIRE k 50 NX | EXPIRE k 50 GT | EXPIRE k 50 LT | EXPIRE k 70 GT | EXPIRE k 60 NX XX
EXPIRE k 10 GT LT | EXPIRE k 10 BOGUS | EXPIREAT k 9999999999 | PEXPIREAT k 9999999999999 | EXPIREAT k 1 | EXISTS k
SET k v | EXPIRE k 5 LT | PERSIST k | EXPIRE k 5 GT | TTL k | TYPE k | TYPE none
RPUSH l a b c | LPUSH l z y | LRANGE l 0 -1 | LRANGE l 1 2 | LRANGE l -2 -1 | LRANGE l 5 9 | LRANGE l -100 100 | LRANGE l 2 1
LRANGE l x 1 | LRANGE none 0 -1 | LINDEX l 0 | LINDEX l -1 | LINDEX l 9 | LINDEX l -9 | LINDEX l x | LINDEX none 0 | LLEN l | LLEN none
LPOP l | RPOP l | LPOP l 2 | RPOP l 0 | LPOP l -1 | LPOP l x | RPOP l 9 | EXISTS l | LPOP l | LPOP l 1 | RPOP l 0 | LPOP l 1 2 | TYPE l
LRANGE l -9223372036854775808 9223372036854775807 | RPUSH l a | LRANGE l -9223372036854775808 9223372036854775807 | DEL l
RPUSH l | LPUSH l | RPUSH k v | LPOP k | LLEN k | LRANGE k 0 1 | LINDEX k 0 | RPUSH l a | GET l | APPEND l x | INCR l | STRLEN l | GETSET l x
GETDEL l | SET l x GET | SETNX l x | MGET l k | SET l text | TYPE l | DEL l
HSET h f 1 | HSET h f 2 g 3 | HSET h f | HSET h | HGET h f | HGET h none | HGET none f | HLEN h | HLEN none | HEXISTS h f | HEXISTS h x
HEXISTS none x | HINCRBY h f 40 | HINCRBY h new -1 | HINCRBY h f x | HSET h t text | HINCRBY h t 1 | HINCRBY fresh2 f 5 | HGETALL fresh2
HSET h m 9223372036854775807 | HINCRBY h m 1 | HDEL h f none | HDEL h g new t m | EXISTS h | HDEL none f | HGETALL none | HGET k f | HSET k f v
HDEL k f | HLEN k | HGETALL k | HEXISTS k f | HINCRBY k f 1 | HGETALL | TYPE fresh2
SADD s a b a | SADD s c | SCARD s | SCARD none | SISMEMBER s a | SISMEMBER s x | SISMEMBER none x | SREM s a x | SREM none x | SADD s
SREM s b | SMEMBERS s | SREM s c | EXISTS s | SMEMBERS none | SADD k x | SREM k x | SCARD k | SISMEMBER k x | SMEMBERS k | SADD one m | SMEMBERS one | TYPE one
PING | PING text | PING a b | ECHO text | ECHO | SELECT 0 | SELECT x | bogus | BOGUS a b | "" | "with space" x | FLUSHALL BOGUS | FLUSHALL ASYNC
DBSIZE | SET only 1 | DBSIZE | KEYS * | KEYS x* | KEYS | SCAN 0 MATCH nothing COUNT 1000 BOGUS | SCAN x | SCAN 0 COUNT 0 | SCAN 0 COUNT x | SCAN
PUBLISH c m | PUBLISH c | UNSUBSCRIBE | PUNSUBSCRIBE | UNSUBSCRIBE a | CONFIG GET save | CONFIG GET appendonly | CONFIG GET | CONFIG BOGUS
CLIENT GETNAME | CLIENT SETNAME me | CLIENT GETNAME | CLIENT SETNAME "a b" | CLIENT SETNAME "" | CLIENT GETNAME | CLIENT BOGUS | CLIENT | CLIENT ID x
COMMAND BOGUS | COMMAND INFO bogus | HELLO x | HELLO 9 | HELLO 3 AUTH | HELLO 3 BOGUS | HELLO 3 SETNAME "a b" | HELLO 3 AUTH nobody x | FLUSHDB | QUIT
"#;

/// Splits a command of the script into words.
fn words(command: &str) -> Vec<&str> {
    let mut rest = command.trim();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn assert_same(ours: &mut Raw, theirs: &mut Raw, args: &[&str]) {
    assert_eq!(ours.ask(args), theirs.ask(args), "{args:?}");
}

#[test]
fn replies_are_those_of_redis() {
    let Some(redis) = Server::start_redis() else { return };
    let server = Server::start(&[]);
    for hello in ["2", "3"] {
        let (mut ours, mut theirs) = (server.connect(), redis.connect());
        for connection in [&mut ours, &mut theirs] {
            connection.ask(&["HELLO", hello]);
            assert_eq!(connection.ask(&["FLUSHALL"]), "+OK\r\n");
        }
        for command in SCRIPT.trim().lines().flat_map(|line| line.split('|')) {
            assert_same(&mut ours, &mut theirs, &words(command));
        }
        assert!(ours.is_at_end() && theirs.is_at_end());
    }
}

#[test]
fn subscriptions_are_those_of_redis() {
    let Some(redis) = Server::start_redis() else { return };
    let server = Server::start(&[]);
    for hello in ["2", "3"] {
        let mut subscribers = [server.connect(), redis.connect()];
        let mut publishers = [server.connect(), redis.connect()];
        if hello == "3" {
            subscribers.iter_mut().for_each(|subscriber| drop(subscriber.ask(&["HELLO", "3"])));
        }
        let mut exchange = |is_publisher: bool, args: &[&str], replies: usize| {
            let connections = if is_publisher { &mut publishers } else { &mut subscribers };
            connections.iter_mut().for_each(|connection| connection.call(args));
            for _ in 0..replies {
                let [ours, theirs] = connections.each_mut().map(|connection| connection.reply());
                assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{args:?}");
            }
        };
        exchange(false, &["SUBSCRIBE", "a", "b", "a"], 3);
        exchange(false, &["PSUBSCRIBE", "[a-c]*"], 1);
        exchange(true, &["PUBLISH", "a", "one"], 1);
        exchange(false, &["PING"], 3);
        exchange(false, &["PING", "text"], 1);
        exchange(false, &["GET", "k"], 1);
        exchange(true, &["PUBLISH", "cd", "two"], 1);
        exchange(true, &["PUBLISH", "d", "three"], 1);
        exchange(false, &["UNSUBSCRIBE", "a"], 2);
        exchange(false, &["UNSUBSCRIBE"], 1);
        exchange(true, &["PUBLISH", "a", "four"], 1);
        exchange(false, &["PUNSUBSCRIBE"], 2);
        exchange(false, &["PUNSUBSCRIBE"], 1);
        exchange(true, &["PUBLISH", "a", "five"], 1);
        exchange(false, &["GET", "k"], 1);
        exchange(false, &["QUIT"], 1);
    }
}

/// Numbers that look random, and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

#[test]
fn random_commands_have_the_replies_of_redis() {
    const ROUNDS: usize = 20_000;
    let Some(redis) = Server::start_redis() else { return };
    let server = Server::start(&[]);
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    let mut random = Random(1);
    // Those whose replies have an order of their own are left out, and so is what depends on the time.
    let commands = [
        "GET k",
        "SET k v",
        "SET k v NX",
        "SET k v XX GET",
        "SET k v KEEPTTL",
        "SETNX k v",
        "GETSET k v",
        "GETDEL k",
        "APPEND k v",
        "STRLEN k",
        "DEL k k",
        "EXISTS k k",
        "INCR k",
        "DECR k",
        "INCRBY k v",
        "DECRBY k v",
        "TTL k",
        "EXPIRE k 1000",
        "PERSIST k",
        "TYPE k",
        "DBSIZE",
        "LPUSH k v v",
        "RPUSH k v",
        "LPOP k",
        "RPOP k v",
        "LLEN k",
        "LRANGE k v v",
        "LINDEX k v",
        "HSET k v v",
        "HGET k v",
        "HDEL k v v",
        "HLEN k",
        "HEXISTS k v",
        "HINCRBY k v v",
        "SADD k v v",
        "SREM k v",
        "SISMEMBER k v",
        "SCARD k",
        "MGET k k k",
        "MSET k v k v",
        "EXPIRE k -1",
        "FLUSHALL",
    ];
    for _ in 0..ROUNDS {
        let command = random.one_of(&commands);
        if command == "FLUSHALL" && random.below(20) > 0 {
            continue;
        }
        let args = words(command).into_iter().map(|word| match word {
            "k" => random.one_of(&["a", "b", "c", "d", "e", "f"]),
            "v" => random.one_of(&["0", "1", "-1", "2", "7", "text", "", "9223372036854775807"]),
            other => other,
        });
        assert_same(&mut ours, &mut theirs, &args.collect::<Vec<_>>());
    }
}

#[test]
fn increments_of_many_clients_add_up() {
    const CLIENTS: usize = 16;
    const ROUNDS: usize = 200;
    let server = Server::start(&[]);
    std::thread::scope(|s| {
        for _ in 0..CLIENTS {
            s.spawn(|| {
                let mut client = server.connect();
                let command = encode(&[b"INCR", b"count"]).repeat(ROUNDS);
                client.send(command);
                (0..ROUNDS).for_each(|_| assert_eq!(client.reply()[0], b':'));
            });
        }
    });
    assert_eq!(server.connect().ask(&["GET", "count"]), "$4\r\n3200\r\n");
}

#[test]
fn commands_on_several_keys_are_atomic() {
    const ROUNDS: usize = 300;
    let server = Server::start(&[]);
    let keys: [&str; 5] = ["a", "b", "c", "d", "e"];
    std::thread::scope(|s| {
        for text in ["1", "2"] {
            let server = &server;
            s.spawn(move || {
                let mut client = server.connect();
                // Two orders, which must not wait for each other.
                let mut pairs = keys.map(|key| [key, text]);
                if text == "2" {
                    pairs.reverse();
                }
                let args = [&["MSET"], pairs.as_flattened()].concat();
                (0..ROUNDS).for_each(|_| assert_eq!(client.ask(&args), "+OK\r\n"));
            });
        }
        let mut client = server.connect();
        wait_until(|| client.ask(&["EXISTS", "a"]), |reply| reply == ":1\r\n");
        for _ in 0..ROUNDS {
            let reply = client.ask(&[&["MGET"], &keys[..]].concat());
            let texts = reply.matches("$1\r\n1").count();
            assert!(texts == 0 || texts == keys.len(), "{reply}");
        }
    });
}

#[test]
fn keys_expire_on_time() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let start = std::time::Instant::now();
    assert_eq!(client.ask(&["SET", "k", "v", "PX", "300"]), "+OK\r\n");
    while client.ask(&["GET", "k"]) == "$1\r\nv\r\n" {}
    assert!(start.elapsed() >= std::time::Duration::from_millis(299), "{:?}", start.elapsed());
    assert_eq!(client.ask(&["GET", "k"]), "$-1\r\n");
    assert_eq!(client.ask(&["TTL", "k"]), ":-2\r\n");
}

#[test]
fn keys_that_are_not_accessed_expire_too() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for n in 0..1000 {
        client.call(&["SET", &format!("key:{n}"), "v", "PX", "1"]);
    }
    (0..1000).for_each(|_| assert_eq!(client.reply(), b"+OK\r\n"));
    client.ask(&["SET", "stays", "v"]);
    wait_until(|| client.ask(&["DBSIZE"]), |reply| reply == ":1\r\n");
}

#[test]
fn scan_returns_every_key_that_stays() {
    let server = Server::start(&[]);
    let mut client = server.client("resp2");
    for n in 0..500 {
        let () = client.set(format!("stays:{n}"), n).unwrap();
    }
    let mut other = server.client("resp2");
    let mut found = Vec::new();
    let mut cursor = 0;
    loop {
        let (next, keys): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("MATCH").arg("stays:*").query(&mut client).unwrap();
        found.extend(keys);
        let () = other.set(format!("new:{cursor}"), 1).unwrap();
        if next == 0 {
            break;
        }
        cursor = next;
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 500);
}

#[test]
fn client_of_the_crate_redis_subscribes() {
    let server = Server::start(&[]);
    for protocol in ["resp2", "resp3"] {
        let mut subscriber = server.client(protocol);
        let mut subscription = subscriber.as_pubsub();
        subscription.subscribe("news").unwrap();
        subscription.psubscribe("n*").unwrap();
        let mut publisher = server.client(protocol);
        for n in 0..100 {
            assert_eq!(publisher.publish::<_, _, i64>("news", n).unwrap(), 2);
        }
        for n in 0..200 {
            let message = subscription.get_message().unwrap();
            assert_eq!((message.get_channel_name(), message.get_payload::<i64>().unwrap()), ("news", n / 2));
        }
        drop(subscription);
        drop(subscriber);
        let mut count = || redis::cmd("PUBLISH").arg("news").arg("").query::<i64>(&mut publisher).unwrap();
        wait_until(&mut count, |count| *count == 0);
    }
}

#[test]
fn info_and_command_describe_the_server() {
    let server = Server::start(&["--connections", "7"]);
    let mut client = server.client("resp3");
    let () = client.set("k", "v").unwrap();
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut client).unwrap();
    assert_eq!(info.get::<String>("redis_mode").unwrap(), "standalone");
    assert_eq!(info.get::<usize>("maxclients"), Some(7));
    assert_eq!(info.get::<String>("db0").unwrap(), "keys=1");
    let config: HashMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg("max*").query(&mut client).unwrap();
    assert_eq!(config["maxclients"], "7");
    let count: usize = redis::cmd("COMMAND").arg("COUNT").query(&mut client).unwrap();
    let all: Vec<Value> = redis::cmd("COMMAND").query(&mut client).unwrap();
    assert_eq!(all.len(), count);
}
