local probe = require("routes_probe")

local HOSTILE = 'a<script>alert("1")</script>&amp;\'x\'\n\0\195\164'

local SHOWN = "a&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;x&#39;\n"
  .. "\239\191\189\195\164"

describe("text in HTML #valgrind", function()
  it("shows as itself, whatever it holds", function()
    assert.are.equal(SHOWN, probe.html(HOSTILE))
    assert.are.equal("", probe.html(""))
    assert.are.equal("plain", probe.html("plain"))
  end)

  it("cannot leave a tag or an attribute", function()
    local bytes = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte)
    end
    local shown = probe.html(table.concat(bytes))
    assert.not_matches("[<>\"'%z]", shown)
  end)
end)

describe("a page's row of the index", function()
  it("escapes path, class and help", function()
    local row = probe.link('/a"><script>', "<b>help</b>.", "<i>")
    assert.are.equal('<tr><td><a href="a&quot;&gt;&lt;script&gt;">'
      .. "/a&quot;&gt;&lt;script&gt;</a></td>"
      .. "<td>&lt;i&gt;</td><td>&lt;b&gt;help&lt;/b&gt;.</td></tr>\n", row)
  end)
end)

describe("the list of profiles", function()
  it("has a count, a link and a description of each", function()
    local page = probe.profiles({ { "heap", "Live blocks." }, { "profile", "CPU & <time>." } })
    for name, count in pairs({ heap = 7, profile = 0 }) do
      local row = '<tr><td>%d</td><td><a href="%s?debug=1">%s</a></td></tr>'
      assert.matches(row:format(count, name, name), page, 1, true)
    end
    assert.matches("<dt>heap</dt><dd>Live blocks.</dd>", page, 1, true)
    assert.matches("<dt>profile</dt><dd>CPU &amp; &lt;time&gt;.</dd>", page, 1, true)
  end)

  it("escapes names", function()
    local page = probe.profiles({ { '<x y="', "It." } })
    assert.not_matches("<x", page, 1, true)
    assert.matches('<a href="&lt;x y=&quot;?debug=1">', page, 1, true)
  end)
end)
