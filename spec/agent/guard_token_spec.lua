local guard_probe = require("guard_probe")
local run = require("support.run")
local support = require("support.guard")

local TOKEN = support.TOKEN
local DIGITS = support.DIGITS
local guard_with = support.guard_with
local request_with = support.request_with
local judge = support.judge
local check_cases = support.check_cases
local check_hosts = support.check_hosts
local base64 = support.base64
local basic = support.basic

describe("the token #valgrind", function()
  local guard = guard_with({ token = TOKEN })

  local function status_of(authorization)
    return judge(guard, { authorization = authorization }).status
  end

  it("comes as Bearer, or as the password of any Basic user", function()
    for _, authorization in ipairs({
      "Bearer " .. TOKEN,
      "bearer " .. TOKEN,
      "BEARER   " .. TOKEN,
      "Bearer " .. TOKEN .. " ",
      "Bearer " .. TOKEN .. "\t ",
      basic(":" .. TOKEN),
      basic("me:" .. TOKEN),
      basic("prometheus:" .. TOKEN),
      (basic("x:" .. TOKEN):gsub("^Basic", "bASIC")),
      basic(("u"):rep(700) .. ":" .. TOKEN),
    }) do
      assert.are.equal(0, status_of(authorization), authorization)
    end
  end)

  it("is nothing else", function()
    for _, authorization in ipairs({
      "",
      "Bearer",
      "Bearer ",
      "Bearer\t" .. TOKEN,
      "Bearer" .. TOKEN,
      TOKEN,
      "Token " .. TOKEN,
      "Digest " .. TOKEN,
      "Bearer x" .. TOKEN,
      "Bearer " .. TOKEN .. "x",
      "Bearer " .. TOKEN:sub(1, -2),
      "Bearer " .. TOKEN:sub(2),
      "Bearer " .. TOKEN:upper(),
      "Bearer " .. TOKEN .. "," .. TOKEN,
      "Bearer \"" .. TOKEN .. "\"",
      "Bearer " .. base64(TOKEN),
      "Bearer " .. base64(":" .. TOKEN),
      "Bearer " .. TOKEN .. ("x"):rep(100000),
      "Basic",
      "Basic ",
      "Basic " .. TOKEN,
      basic(TOKEN),
      basic(TOKEN .. ":"),
      basic(TOKEN .. ":x"),
      basic("x:" .. TOKEN .. ":"),
      basic("a:b:" .. TOKEN),
      basic("x:" .. TOKEN .. "\0"),
      basic("x:" .. TOKEN .. ("\0"):rep(20)),
      basic("x:"),
      basic(":"),
      basic("xx:" .. TOKEN) .. "=",
      basic("x:" .. TOKEN) .. " x",
      "Basic =" .. base64("x:" .. TOKEN),
      (basic("x:" .. TOKEN):gsub("(.)$", "!")),
      basic(("u"):rep(1200) .. ":" .. TOKEN),
      "Basic " .. ("="):rep(8),
    }) do
      assert.are.equal(401, status_of(authorization), authorization)
    end
  end)

  it("in Basic is base64 as RFC 4648 has it: with padding, and no loose bits", function()
    local seen = {}
    for length = 0, 2 do
      local good = base64(("u"):rep(length) .. ":" .. TOKEN)
      local bare = good:gsub("=", "")
      seen[#good - #bare] = true
      assert.are.equal(0, status_of("Basic " .. good))
      if bare ~= good then
        local loose = bare:gsub(".$", function(last)
          local at = DIGITS:find(last, 1, true)
          return DIGITS:sub(at + 1, at + 1)
        end)
        assert.are.equal(401, status_of("Basic " .. bare), "without padding")
        assert.are.equal(401, status_of("Basic " .. loose .. good:match("=+$")), "loose bits")
      end
    end
    assert.are.same({ [0] = true, [1] = true, [2] = true }, seen)
  end)

  it("is asked for in a way that a browser and go tool pprof understand", function()
    local verdict = judge(guard, {})
    assert.are.equal("WWW-Authenticate", verdict.header_name)
    assert.are.equal('Basic realm="rtmetrics"', verdict.header_value)
  end)

  it("given twice is refused, set or not", function()
    for _, each in ipairs({ guard, guard_with(), guard_with({ unix = true }) }) do
      check_cases(each, {
        { 400, { authorization = "Bearer " .. TOKEN, authorization_count = 2 } },
      })
    end
  end)

  it("may have any visible byte", function()
    local odd = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    local other = guard_with({ token = odd })
    check_cases(other, {
      { 0, { authorization = "Bearer " .. odd } },
      { 0, { authorization = basic("u:" .. odd) } },
      { 401, { authorization = basic("u:" .. odd:sub(1, -2)) } },
    })
  end)
end)

describe("a wrong token", function()
  it("takes as long wherever it is wrong", function()
    if run.under() then
      pending("times are not measured under " .. run.under())
    end
    local long = ("t"):rep(255)
    local other = guard_with({ token = long })
    local function seconds(authorization)
      local request = request_with({ authorization = "Bearer " .. authorization })
      local before = os.clock()
      for _ = 1, 2000 do
        other:judge(request)
      end
      return os.clock() - before
    end
    -- The right length each time, wrong in the first byte or in the last; in turns, as the
    -- machine's pace changes.
    local first, last = math.huge, math.huge
    for _ = 1, 50 do
      first = math.min(first, seconds("x" .. long:sub(2)))
      last = math.min(last, seconds(long:sub(2) .. "x"))
    end
    assert.is_true(math.abs(first - last) < 0.25 * last, ("%g s, %g s"):format(first, last))
  end)
end)

describe("a guard's options", function()
  local function refusal(options)
    local guard, message = guard_probe.new(options)
    assert.is_nil(guard)
    return message
  end

  it("tell whether a token is asked for", function()
    assert.is_true(guard_with({ token = TOKEN }):has_token())
    assert.is_false(guard_with():has_token())
  end)

  it("take a token of 16 to 255 visible bytes", function()
    assert.is_true(guard_with({ token = ("t"):rep(16) }):has_token())
    assert.is_true(guard_with({ token = ("t"):rep(255) }):has_token())
    assert.are.equal("the token has 15 bytes; it needs 16", refusal({ token = ("t"):rep(15) }))
    assert.are.equal("the token has 0 bytes; it needs 16", refusal({ token = "" }))
    local long = refusal({ token = ("t"):rep(256) })
    assert.are.equal("the token has 256 bytes; it may have 255", long)
    for _, byte in ipairs({ " ", "\t", "\n", "\127", "\200" }) do
      assert.matches("visible ASCII", refusal({ token = TOKEN .. byte .. "x" }), nil, true)
    end
  end)

  it("take one source of the token", function()
    local both = refusal({ token = TOKEN, token_file = "/x" })
    assert.are.equal("a token and a token's file are given: one of them is enough", both)
  end)

  it("take hosts that could be asked for", function()
    for _, host in ipairs({ "", "a b", "*", "http://a", "a:", "a:0", "a:65536", "::1", "a/b" }) do
      assert.matches("is no host", refusal({ hosts = { host } }), nil, true)
    end
    local many = {}
    for i = 1, 33 do
      many[i] = "host" .. i
    end
    assert.are.equal("33 hosts are too many: 32 may be listed", refusal({ hosts = many }))
    many[33] = nil
    check_hosts(guard_with({ hosts = many }), { { 0, "host32:6060" }, { 403, "host33:6060" } })
  end)
end)

local function shell(line)
  local result = run.command(line)
  assert(result.code == 0, result.err)
end

local function write(path, text, mode)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  shell(("chmod %s %s"):format(mode or "600", run.quote(path)))
end

describe("a token's file #valgrind", function()
  local path

  before_each(function()
    path = run.tmpdir() .. "/token"
  end)

  after_each(function()
    guard_probe.fail_after()
    os.remove(path)
  end)

  local function refusal()
    local guard, message = guard_probe.new({ token_file = path })
    assert.is_nil(guard)
    return message
  end

  local function status_of(guard, token)
    return judge(guard, { authorization = "Bearer " .. token }).status
  end

  it("has the token in its first line, however that ends", function()
    for _, text in ipairs({ TOKEN, TOKEN .. "\n", TOKEN .. "\r\n", TOKEN .. "\nmore\0\n" }) do
      for _, mode in ipairs({ "600", "400" }) do
        os.remove(path)
        write(path, text, mode)
        local guard = guard_with({ token_file = path })
        assert.is_true(guard:has_token())
        assert.are.equal(0, status_of(guard, TOKEN))
        assert.are.equal(401, status_of(guard, "more"))
      end
    end
  end)

  it("may be reached by a symbolic link", function()
    write(path, TOKEN)
    shell(("ln -s token %s.link"):format(path))
    assert.are.equal(0, status_of(guard_with({ token_file = path .. ".link" }), TOKEN))
  end)

  it("that others could read or write is refused", function()
    for _, mode in ipairs({ "640", "604", "620", "602", "610", "644", "666", "777" }) do
      write(path, TOKEN, mode)
      assert.are.equal(
        ("%s is open to other users (mode 0%s): it must be 0600 or 0400"):format(path, mode),
        refusal()
      )
    end
  end)

  it("that is not there, not regular or not a token is refused", function()
    assert.are.equal(("cannot open %s: No such file or directory"):format(path), refusal())
    shell(("mkfifo -m 600 %s"):format(path))
    assert.are.equal(path .. " is not a regular file", refusal())
    os.remove(path)
    shell(("mkdir -m 700 %s"):format(path))
    assert.are.equal(path .. " is not a regular file", refusal())
    os.remove(path)
    for text, message in pairs({
      [""] = "the first line of the token's file has 0 bytes; it needs 16",
      ["short\n"] = "the first line of the token's file has 5 bytes; it needs 16",
      ["\n" .. TOKEN] = "the first line of the token's file has 0 bytes; it needs 16",
      [TOKEN .. " x"] = "the first line of the token's file may hold visible ASCII "
        .. "characters only, and no blank",
      [TOKEN .. "\0x\n"] = path .. " is not a text",
      [("t"):rep(256)] = "the first line of " .. path .. " is too long",
      [("t"):rep(100000)] = "the first line of " .. path .. " is too long",
    }) do
      write(path, text)
      assert.are.equal(message, refusal())
    end
    path = "/dev/zero"
    assert.are.equal("/dev/zero is not a regular file", refusal())
    path = "/nonexistent"
  end)

  it("of another user is refused", function()
    if run.command("test $(id -u) = 0").code ~= 0 then
      pending("only root can give a file away")
    end
    write(path, TOKEN)
    shell(("chown nobody %s"):format(path))
    assert.are.equal(path .. " belongs to another user", refusal())
  end)

  it("is read again whenever it changes, also at the same length and time", function()
    write(path, TOKEN)
    local guard = guard_with({ token_file = path })
    local last = TOKEN
    for i = 1, 40 do
      local token = ("token-number-%07d"):format(i)
      local file = assert(io.open(path, "wb"))
      file:write(token, "\n")
      file:close()
      assert.are.equal(0, status_of(guard, token), "write " .. i)
      assert.are.equal(401, status_of(guard, last), "write " .. i)
      last = token
    end
    guard_probe.sleep_ms(50) -- the stamps count now
    assert.are.equal(0, status_of(guard, last))
    shell(("touch -r %s %s.time && echo other-token-of-20b > %s && touch -r %s.time %s"):format(
      path, path, path, path, path))
    assert.are.equal(401, status_of(guard, last))
    assert.are.equal(0, status_of(guard, "other-token-of-20b"))
    write(path .. ".new", "the-third-token-of-all\n")
    assert(os.rename(path .. ".new", path))
    assert.are.equal(0, status_of(guard, "the-third-token-of-all"))
    assert.are.equal(401, status_of(guard, "other-token-of-20b"))
  end)

  it("that goes, is opened to others or spoilt lets nobody in until it is right again", function()
    write(path, TOKEN)
    local guard = guard_with({ token_file = path })
    for _, spoil in ipairs({
      "rm %s",
      "chmod 640 %s",
      "echo short > %s",
      ": > %s",
      "rm %s && mkfifo -m 600 %s",
      "rm %s && mkdir -m 700 %s",
    }) do
      guard_probe.sleep_ms(30)
      assert.are.equal(0, status_of(guard, TOKEN))
      shell((spoil:gsub("%%s", path)))
      assert.are.equal(401, status_of(guard, TOKEN), spoil)
      assert.are.equal(401, status_of(guard, ""), spoil)
      assert.are.equal(401, judge(guard, { authorization = basic("x:" .. ("\0"):rep(5)) }).status)
      assert.is_true(guard:has_token())
      shell(("rm -rf %s"):format(path))
      write(path, TOKEN)
    end
    assert.are.equal(0, status_of(guard, TOKEN))
  end)

  it("that has not changed needs no descriptor", function()
    write(path, TOKEN)
    guard_probe.sleep_ms(50)
    local guard = guard_with({ token_file = path })
    assert.are.equal(0, status_of(guard, TOKEN))
    assert(guard_probe.descriptors(3))
    local status = status_of(guard, TOKEN)
    guard_probe.descriptors()
    assert.are.equal(0, status)
  end)

  it("cannot be kept in mind without memory", function()
    write(path, TOKEN)
    guard_probe.fail_after(0)
    local message = refusal()
    guard_probe.fail_after()
    assert.are.equal("cannot keep the token's path: no memory", message)
  end)
end)
