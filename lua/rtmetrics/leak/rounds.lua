--- Floors of a figure over consecutive rounds: what both leak detectors decide on.
--
-- A figure such as the heap's size goes up and down with the collector and with the load; only the
-- lowest value of each round says what cannot be given back. A round lasts `interval` seconds,
-- longer if no value arrives: it ends with the first value that comes after that. Its floor is its
-- lowest value, with the time at which that was seen. At a round's end its floor is compared with
-- the one before, scaled to one interval where the two are further apart: a rise of at least `rise`
-- makes the round a rising one, of no more than half of it a quiet one.
--
-- Fields for the reader: `rising` and `quiet` (how many rounds in a row were so), `base`, `base_at`
-- (the floor that the rising rounds started from), `floor`, `floor_at` (the last finished round's),
-- `began` (of the current round).

local CALM = 0.5

local Rounds = {}
Rounds.__index = Rounds

--- Forgets what was seen and starts anew from one value.
function Rounds:restart(value, now)
  self.floor, self.floor_at = value, now
  self.base, self.base_at = value, now
  self.low, self.low_at = nil, nil
  self.began, self.rising, self.quiet = now, 0, 0
end

local function judge(self, rise)
  if rise >= self.rise then
    if self.rising == 0 then
      self.base, self.base_at = self.floor, self.floor_at
    end
    self.rising, self.quiet = self.rising + 1, 0
  else
    self.rising = 0
    self.quiet = rise <= self.rise * CALM and self.quiet + 1 or 0
  end
end

local function finish(self, now)
  local span = math.max(self.interval, self.low_at - self.floor_at)
  judge(self, (self.low - self.floor) * self.interval / span)
  self.floor, self.floor_at = self.low, self.low_at
  self.low, self.low_at = nil, nil
  self.began = now
end

--- Takes one value; true if it ended a round.
function Rounds:add(value, now)
  if not self.floor then
    self:restart(value, now)
    return false
  end
  if not self.low or value < self.low then
    self.low, self.low_at = value, now
  end
  if now - self.began < self.interval then
    return false
  end
  finish(self, now)
  return true
end

--- Rise per second over the rising rounds; 0 if there are none.
function Rounds:rate()
  local span = self.floor_at - self.base_at
  if self.rising == 0 or span <= 0 then
    return 0
  end
  return (self.floor - self.base) / span
end

local M = {}

--- New rounds of `interval` seconds; a round that rises by `rise` or more is a rising one.
function M.new(interval, rise)
  return setmetatable({ interval = interval, rise = rise, rising = 0, quiet = 0 }, Rounds)
end

return M
