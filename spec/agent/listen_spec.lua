-- Where the agent listens, and what it does with the files of unix sockets.
-- LD_PRELOAD= stands before programs that Lua starts, as a sanitizer's library is for Lua alone.

local run = require("support.run")

-- In a fresh directory; `here` is its path. What was printed.
local function script(code, opts)
  opts = opts or {}
  opts.cwd = opts.cwd or run.tmpdir()
  opts.env = { HERE = opts.cwd }
  local result = run.script([[
    local agent = require("rtmetrics.agent")
    local here = os.getenv("HERE")
    local function shell(line)
      local pipe = io.popen("cd " .. here .. " && { " .. line .. "\n} 2>&1")
      local text = pipe:read("*a"):gsub("%s+$", "")
      pipe:close()
      return text
    end
    local function ask(url)
      return shell("LD_PRELOAD= curl -gsS -m 20 " .. url .. "/healthz")
    end
    local function ask_socket(path)
      return shell("LD_PRELOAD= curl -sS -m 20 --unix-socket " .. path
        .. " http://localhost/healthz")
    end
  ]] .. code, opts)
  assert.are.equal("", result.err)
  assert.are.equal(0, result.code)
  return (result.out:gsub("\n$", ""))
end

local function has_ipv6()
  return run.command("grep -q ' lo$' /proc/net/if_inet6").code == 0
end

describe("the agent listens on #valgrind", function()
  it("a port that the system chooses, and says which", function()
    assert.are.equal("ok", script([[
      local handle = assert(agent.start { listen = "127.0.0.1:0" })
      assert(handle.address:match("^127%.0%.0%.1:[1-9]%d*$"), handle.address)
      assert(handle.url == "http://" .. handle.address)
      print(ask(handle.url))
    ]]))
  end)

  it("IPv6", function()
    if not has_ipv6() then return pending("there is no IPv6 here") end
    assert.are.equal("ok\nfalse", script([[
      local handle = assert(agent.start { listen = "[::1]:0" })
      assert(handle.address:match("^%[::1%]:%d+$"), handle.address)
      print(ask(handle.url))
      print(ask("http://127.0.0.1:" .. handle.address:match("%d+$")) == "ok")
    ]]))
  end)

  it("localhost, which is 127.0.0.1", function()
    assert.are.equal("ok", script([[
      local handle = assert(agent.start { listen = "localhost:0" })
      assert(handle.address:match("^127%.0%.0%.1:"), handle.address)
      print(ask(handle.url))
    ]]))
  end)

  it("all addresses of both families, for who has a token", function()
    assert.are.equal("200\n401", script([[
      local token = ("0123456789abcdef"):rep(2)
      local handle = assert(agent.start { listen = ":0", token = token })
      local port = handle.address:match("%d+$")
      assert(handle.url == "http://127.0.0.1:" .. port)
      local line = "LD_PRELOAD= curl -gsS -m 20 -o out -w '%{http_code}' "
      local header = "-H 'Authorization: Bearer " .. token .. "' "
      if handle.address:match("^%[::%]:") then
        assert(shell(line .. header .. "http://[::1]:" .. port .. "/healthz") == "200")
      end
      print(shell(line .. header .. handle.url .. "/healthz"))
      print(shell(line .. handle.url .. "/healthz"))
    ]]))
  end)

  it("a unix socket that only its user may use", function()
    assert.are.equal("ok\n600 socket\nnil\n", script([[
      local handle = assert(agent.start { listen = "unix:" .. here .. "/app.sock" })
      print(ask_socket("app.sock"))
      print(shell("stat -c '%a %F' app.sock"))
      print(handle.url)
      handle:stop()
      print(shell("ls *.sock 2>/dev/null"))
    ]]))
  end)

  it("a unix socket with the mode that is asked for, whatever the umask", function()
    assert.are.equal("660\n666\n600", script([[
      for _, mode in ipairs { "0660", "0666", "600" } do
        local handle = assert(agent.start { listen = "unix:" .. here .. "/app.sock",
          socket_mode = mode })
        print(shell("stat -c %a app.sock"))
        handle:stop()
      end
    ]]))
  end)

  it("a unix socket with the number of the process in its name", function()
    assert.are.equal("ok", script([[
      local handle = assert(agent.start { listen = "unix:" .. here .. "/a-%p.sock" })
      assert(handle.address == "unix:" .. here .. "/a-" .. agent.status().pid .. ".sock")
      print(ask_socket(handle.address:sub(6)))
    ]]))
  end)

  it("a unix socket behind a symbolic link to its directory", function()
    assert.are.equal("ok\n", script([[
      shell("mkdir dir && ln -s dir link")
      local handle = assert(agent.start { listen = "unix:" .. here .. "/link/app.sock" })
      print(ask_socket("dir/app.sock"))
      handle:stop()
      print(shell("ls dir"))
    ]]))
  end)
end)

describe("the file of a unix socket", function()
  -- A program with an agent on app.sock that is killed.
  local function leave_stale(dir)
    local result = run.command([[
cat >stale.lua <<'END'
assert(require("rtmetrics.agent").start { listen = "unix:" .. os.getenv("PWD") .. "/app.sock" })
io.stdout:write("up\n") io.stdout:flush()
io.read()
END
mkfifo in out
timeout 60 $RTM_LUA stale.lua <in >out & exec 8>in
read -r line <out
pkill -KILL -P $! ; wait
[ -S app.sock ] && echo left
rm -f in out stale.lua]], { cwd = dir })
    assert.are.equal("left\n", result.out, result.err)
  end

  it("that a killed program left is replaced", function()
    local dir = run.tmpdir()
    leave_stale(dir)
    assert.are.equal("ok\n", script([[
      local handle = assert(agent.start { listen = "unix:" .. here .. "/app.sock" })
      print(ask_socket("app.sock"))
      handle:stop()
      print(shell("ls *.sock 2>/dev/null"))
    ]], { cwd = dir }))
  end)

  it("is left alone while somebody listens, also when he is busy", function()
    assert.are.equal("Address already in use\ntrue", script([[
      local path = here .. "/app.sock"
      shell("(timeout 20 $RTM_LUA -e 'local unix = require(\"socket.unix\") "
        .. "local s = (type(unix) == \"table\" and unix.stream or unix)() "
        .. "assert(s:bind(\"" .. path .. "\")) assert(s:listen(1)) io.open(\"up\", \"w\"):close() "
        .. "io.popen(\"sleep 20\"):read()') >/dev/null 2>&1 & until [ -e up ]; do sleep 0.05; done")
      local _, message = agent.start { listen = "unix:" .. path }
      print(message:match("^cannot listen on unix:" .. path:gsub("%p", "%%%0") .. ": (.*)$"))
      print(shell("[ -S app.sock ] && echo true"))
    ]]))
  end)

  it("is never unlinked where it is no socket", function()
    assert.are.equal("a file that is no socket is there\na file that is no socket is there\n"
      .. "a file that is no socket is there\nkept\ndir\nfile\nlink", script([[
      shell("echo kept >file; ln -s file link; mkdir dir")
      for _, name in ipairs { "file", "link", "dir" } do
        local _, message = agent.start { listen = "unix:" .. here .. "/" .. name }
        print((message:gsub("^.*: ", "")))
      end
      print(shell("cat link"))
      print(shell("ls -d dir file link"))
    ]]))
  end)

  it("of another user is never unlinked", function()
    local nobody = run.as_nobody()
    if not nobody then return pending("only root can be two users") end
    -- Everybody can get there, unlike to the specs' own directory.
    local dir = run.command("mktemp -d /tmp/rtmetrics-open-XXXXXX").out:gsub("%s", "")
    leave_stale(dir)
    local result = run.command([[
trap 'rm -rf "$PWD"' EXIT
chmod 777 . && chown 1:1 app.sock && chmod 666 app.sock
cat >script.lua <<'END'
local address = "unix:" .. os.getenv("PWD") .. "/app.sock"
print(select(2, require("rtmetrics.agent").start { listen = address }))
END
]] .. nobody .. [[ $RTM_LUA script.lua
[ -S app.sock ] && echo left]], { cwd = dir })
    assert.are.equal("cannot listen on unix:" .. dir
      .. "/app.sock: a socket of another user is there\nleft\n", result.out, result.err)
  end)

  it("that is another by now is left alone when the agent stops", function()
    assert.are.equal("app.sock", script([[
      local handle = assert(agent.start { listen = "unix:" .. here .. "/app.sock" })
      shell("mv app.sock old && touch app.sock")
      handle:stop()
      print(shell("ls app.sock"))
    ]]))
  end)

  it("cannot be in a directory that is not there or not open to the user", function()
    assert.are.equal("No such file or directory\nNot a directory", script([[
      shell("touch file")
      for _, name in ipairs { "none/app.sock", "file/app.sock" } do
        local _, message = agent.start { listen = "unix:" .. here .. "/" .. name }
        print((message:gsub("^.*: ", "")))
      end
    ]]))
  end)
end)
