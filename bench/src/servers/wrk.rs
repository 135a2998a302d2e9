//! The load of `http`: the program `wrk`, with one thread.

use super::Load;
use std::process::Command;

/// Runs `wrk` against a server.
pub fn run(port: u16, connections: u64, quick: bool) -> Result<Load, String> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", if quick { "-d1s" } else { "-d3s" }]);
    command.args([format!("-c{connections}"), format!("http://127.0.0.1:{port}/")]);
    let out = super::output(command).map_err(|reason| format!("`wrk`: {reason}"))?;
    parse(&out).ok_or_else(|| format!("`wrk` printed no figures, or there were errors: {out:?}"))
}

/// Returns the figures in the output of `wrk`, unless it reports errors.
fn parse(out: &str) -> Option<Load> {
    if out.contains("Socket errors") || out.contains("Non-2xx") {
        return None;
    }
    let value = |name: &str| out.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let requests = out.lines().find_map(|line| line.trim().split_once(" requests in "))?.0;
    Some(Load {
        requests: requests.parse().ok()?,
        per_second: value("Requests/sec:")?.parse().ok()?,
        percentile99_us: microseconds(value("99%")?)?,
    })
}

fn microseconds(text: &str) -> Option<f64> {
    let [(us, unit), (ms, to_ms), (s, to_s)] = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let (number, factor) = text
        .strip_suffix(us)
        .map(|number| (number, unit))
        .or_else(|| text.strip_suffix(ms).map(|number| (number, to_ms)))
        .or_else(|| text.strip_suffix(s).map(|number| (number, to_s)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: &str = "Running 3s test @ http://127.0.0.1:8080/\n  1 threads and 64 connections\n  Thread Stats   Avg\n  \
        Latency Distribution\n     50%  490.00us\n     99%    1.20ms\n  205312 requests in 3.00s, 25.26MB read\n\
        Requests/sec:  68403.61\nTransfer/sec:      8.42MB\n";

    #[test]
    fn figures_are_found_in_the_output() {
        let load = Load { requests: 205_312, per_second: 68_403.61, percentile99_us: 1_200.0 };
        assert_eq!(parse(OUT), Some(load));
        assert_eq!(["490.00us", "1.5s", "3"].map(microseconds), [Some(490.0), Some(1.5e6), None]);
    }

    #[test]
    fn output_with_errors_has_no_figures() {
        assert_eq!(parse(&format!("{OUT}  Socket errors: connect 0, read 3, write 0, timeout 0\n")), None);
        assert_eq!(parse(""), None);
    }
}
