--- Coroutines counted by the place that created them.

local figures = require "rtmetrics.leak.figures"

local M = {}

local function add(site, record)
  site.coroutines = site.coroutines + 1
  site.by_status[record.status] = (site.by_status[record.status] or 0) + 1
  site.oldest = math.max(site.oldest, record.age or 0)
end

local function by_count(a, b)
  if a.coroutines ~= b.coroutines then
    return a.coroutines > b.coroutines
  end
  return a.site < b.site
end

--- Groups coroutine records (of rtmetrics.coroutines{list=true}) by `created_at`, dead ones left
-- out. Returns a list, most coroutines first, of { site, coroutines, oldest (seconds), by_status =
-- {status = n} }.
function M.group(records)
  local by_site, list = {}, {}
  for _, record in ipairs(records) do
    if record.status ~= "dead" then
      local name = record.created_at or "unknown site"
      local site = by_site[name]
      if not site then
        site = { site = name, coroutines = 0, oldest = 0, by_status = {} }
        by_site[name], list[#list + 1] = site, site
      end
      add(site, record)
    end
  end
  table.sort(list, by_count)
  return list
end

local function status_counts(by_status)
  local statuses = {}
  for status in pairs(by_status) do
    statuses[#statuses + 1] = status
  end
  table.sort(statuses, function(a, b)
    if by_status[a] ~= by_status[b] then
      return by_status[a] > by_status[b]
    end
    return a < b
  end)
  for i, status in ipairs(statuses) do
    statuses[i] = figures.count(by_status[status]) .. " " .. status
  end
  return table.concat(statuses, ", ")
end

--- One line per site, as "server.lua:42: 1,034 suspended, oldest 12 min"; the sites after the `top`
-- first in one line.
function M.lines(list, top)
  local lines, rest = {}, 0
  for i, site in ipairs(list) do
    if i <= top then
      lines[i] = ("%s: %s, oldest %s"):format(
        site.site, status_counts(site.by_status), figures.duration(site.oldest))
    else
      rest = rest + site.coroutines
    end
  end
  if rest > 0 then
    lines[#lines + 1] = ("%s more at %s other sites"):format(
      figures.count(rest), figures.count(#list - top))
  end
  return lines
end

return M
