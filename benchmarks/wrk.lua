-- Posts one file after another. Arguments after "--": the content type, then the files.
local prepared = {}
local number = 0

function init(args)
  for index = 2, #args do
    local file = assert(io.open(args[index], "rb"))
    local headers = { ["Content-Type"] = args[1] }
    prepared[#prepared + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  number = number % #prepared + 1
  return prepared[number]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests": %d, "failures": %d, "duration": %d, "p50": %d, "p99": %d, "max": %d}\n',
    summary.requests, failures, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max))
end
