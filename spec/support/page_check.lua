--- Judges pages of metrics that were read one after the other while their VMs ran on: each is what
-- the format allows, its histograms agree with themselves, and no counter has fallen.
--
--    local check = page_check.new()
--    check(page)                     -- raises; returns the families

local prometheus_text = require "support.prometheus_text"

local M = {}

-- Sums of texts in decimal.
local tolerance = 1e-9

local function series_of(sample)
  local names = {}
  for name in pairs(sample.labels) do
    if name ~= "le" then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = name .. "=" .. sample.labels[name] end
  return table.concat(names, ",")
end

local function key_of(sample)
  return sample.name .. "{" .. series_of(sample) .. ",le=" .. (sample.labels.le or "") .. "}"
end

-- What the sum of a histogram with these buckets can be. No value here is below 0.
local function bounds_of(buckets)
  local least, most, below, counted = 0, 0, 0, 0
  for _, bucket in ipairs(buckets) do
    local count = bucket.value - counted
    local le = tonumber(bucket.labels.le) or math.huge
    if count > 0 then
      least, most = least + count * below, most + count * le
    end
    below, counted = le, bucket.value
  end
  return least, most
end

local function check_sums(family)
  local buckets = {}
  for _, sample in ipairs(family.samples) do
    local series = series_of(sample)
    if sample.labels.le then
      buckets[series] = buckets[series] or {}
      table.insert(buckets[series], sample)
    elseif sample.name:find("_sum$") then
      local least, most = bounds_of(buckets[series])
      if sample.value < least * (1 - tolerance) or sample.value > most * (1 + tolerance) then
        error(("%s: %.17g is no sum of buckets between %.17g and %.17g"):format(
          key_of(sample), sample.value, least, most), 0)
      end
    end
  end
end

local function check_growth(last, family)
  for _, sample in ipairs(family.samples) do
    local key = key_of(sample)
    if last[key] and sample.value < last[key] then
      error(("%s fell from %.17g to %.17g"):format(key, last[key], sample.value), 0)
    end
    last[key] = sample.value
  end
end

-- Of a difference that went below 0; only the percentage of a stopped collector is that large.
local function check_size(family)
  for _, sample in ipairs(family.samples) do
    if sample.value >= 2 ^ 53 and family.name ~= "lua_gc_gogc_ratio" then
      error(("%s is %.17g"):format(key_of(sample), sample.value), 0)
    end
  end
end

--- A judge of the pages of one reader, in the order in which they were read.
-- @treturn function(page) -> families as prometheus_text.parse has them
function M.new()
  local last = {}
  return function(page)
    local families, list = prometheus_text.parse(page, "text")
    for _, family in ipairs(list) do
      if family.type ~= "gauge" then check_growth(last, family) end
      if family.type == "histogram" then check_sums(family) end
      check_size(family)
    end
    return families
  end
end

return M
