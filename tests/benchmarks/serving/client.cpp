// The client that servers are compared with: several targets, asked in turns of a block each, so that what the machine
// does meanwhile meets them all.
//
//   bench_serving --rounds 40 --block 250 --connections 1
//   NAME,KIND,ADDRESS,MODEL,PID,BYTES,TYPE,INPUT,OUTPUT,DIM[xDIM…] …
//
// Prints one JSON object: for each target p50, p99, requests a second, and the server's CPU time a request.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "target.hpp"

namespace verge::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int rounds = 40;
  int block = 250;
  int connections = 1;
  std::vector<TargetSpec> targets;
};

struct Measured {
  std::vector<std::unique_ptr<Target>> connections;
  std::vector<double> latencies_us;
  double seconds = 0;
  double cpu_s = 0;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

TargetSpec read_target(const std::string& text) {
  const auto parts = split(text, ',');
  if (parts.size() != 10) give_up("a target has ten parts, got " + text);
  TargetSpec spec{parts[0], parts[1], parts[2], parts[3], std::stoi(parts[4]), std::stoul(parts[5]),
                  parts[6], parts[7], parts[8], {}};
  for (const auto& dimension : split(parts[9], 'x')) spec.shape.push_back(std::stoll(dimension));
  return spec;
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--") && i + 1 < argc) {
      const int value = std::atoi(argv[++i]);
      (word == "--rounds" ? options.rounds : word == "--block" ? options.block : options.connections) = value;
    } else {
      options.targets.push_back(read_target(word));
    }
  }
  return options;
}

/// User and system time of a process.
double cpu_seconds(int process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream in(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
  std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  if (words.size() < 13) return 0;
  return (std::stod(words[11]) + std::stod(words[12])) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void run_block(Measured& measured, const TargetSpec& spec, int count) {
  const double cpu = cpu_seconds(spec.server);
  std::vector<std::vector<double>> latencies(measured.connections.size());
  const auto start = Clock::now();
  const auto work = [&](std::size_t index) {
    for (int i = 0; i < count; ++i) {
      const auto asked = Clock::now();
      measured.connections[index]->ask();
      latencies[index].push_back(std::chrono::duration<double, std::micro>(Clock::now() - asked).count());
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < measured.connections.size(); ++i) threads.emplace_back(work, i);
  work(0);
  for (auto& thread : threads) thread.join();
  measured.seconds += std::chrono::duration<double>(Clock::now() - start).count();
  measured.cpu_s += cpu_seconds(spec.server) - cpu;
  for (const auto& list : latencies) {
    measured.latencies_us.insert(measured.latencies_us.end(), list.begin(), list.end());
  }
}

void print(const Options& options, std::vector<Measured>& measured) {
  std::printf("{");
  for (std::size_t i = 0; i < measured.size(); ++i) {
    auto& all = measured[i].latencies_us;
    std::sort(all.begin(), all.end());
    const auto count = static_cast<double>(all.size());
    std::printf("%s\"%s\": {\"p50_us\": %.2f, \"p99_us\": %.2f, \"requests_per_s\": %.1f, \"cpu_us\": %.2f}",
                i == 0 ? "" : ", ", options.targets[i].name.c_str(), all[all.size() / 2], all[all.size() * 99 / 100],
                count / measured[i].seconds, measured[i].cpu_s * 1e6 / count);
  }
  std::printf("}\n");
}

void run(const Options& options) {
  std::vector<Measured> measured(options.targets.size());
  for (std::size_t i = 0; i < measured.size(); ++i) {
    const auto& spec = options.targets[i];
    for (int c = 0; c < options.connections; ++c) {
      measured[i].connections.push_back(spec.kind.starts_with("grpc") ? make_grpc_target(spec)
                                                                      : make_http_target(spec));
    }
    for (int warm = 0; warm < 200; ++warm) measured[i].connections[0]->ask();
  }
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < measured.size(); ++i) {
      const auto index = (i + static_cast<std::size_t>(round)) % measured.size();
      run_block(measured[index], options.targets[index], options.block);
    }
  }
  print(options, measured);
}

}  // namespace

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench_serving: %s\n", why.c_str());
  std::_Exit(1);
}

std::vector<char> content(std::size_t size_bytes) {
  std::vector<char> bytes(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

}  // namespace verge::bench

int main(int argc, char** argv) {
  try {
    verge::bench::run(verge::bench::read_options(argc, argv));
  } catch (const std::exception& error) {
    verge::bench::give_up(error.what());
  }
}
