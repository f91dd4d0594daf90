-- Sends the requests of a file, each once: BENCH_REQUESTS names it, all are BENCH_SIZE bytes long.
-- Ends early when there are none left.

local size = tonumber(os.getenv("BENCH_SIZE"))
local file = io.open(os.getenv("BENCH_REQUESTS"), "rb")

request = function()
   local next = file:read(size)
   if next == nil then
      wrk.thread:stop()
      file:seek("set", 0)
      return file:read(size)
   end
   return next
end

done = function(summary, latency, requests)
   io.write(string.format(
      '\n{"requests": %d, "refused": %d, "broken": %d, "seconds": %f, "p50": %f, "p99": %f}\n',
      summary.requests, summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
      summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
