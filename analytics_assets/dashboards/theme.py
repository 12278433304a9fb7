"""How the dashboards look: colours and type in light and in dark.

Belongs here: every colour, as options of Streamlit, which hands them to the charts, too. Does not
belong here: what is drawn.
"""

from typing import Any

# Paper and ink: Streamlit's own serif for headings and figures, thin rules, no shadows. Text has a
# contrast of at least 7:1, and the colours of charts at least 3:1 against the background.
_LIGHT: dict[str, Any] = {
    "primaryColor": "#0B5F5A",
    "backgroundColor": "#FBF8F1",
    "secondaryBackgroundColor": "#F1EBDD",
    "textColor": "#20272B",
    "linkColor": "#0B5F5A",
    "borderColor": "#D8CFBB",
    "dataframeBorderColor": "#E2DAC8",
    "dataframeHeaderBackgroundColor": "#F1EBDD",
    "codeBackgroundColor": "#F1EBDD",
    "codeTextColor": "#7A3B12",
    "redTextColor": "#9B2C1F",
    "greenTextColor": "#0B5F5A",
    "blueTextColor": "#1F4448",
    "blueBackgroundColor": "#E4ECE4",
    "chartCategoricalColors": [
        "#0F6E68", "#C0702A", "#41597F", "#98384B", "#7B7A2A", "#6E4A86", "#2B88A6", "#8A6B52",
    ],
    "chartSequentialColors": [
        "#F3ECDB", "#DDE3D0", "#C3D8C6", "#A5CBBC", "#85BCB0", "#65AAA3", "#469694", "#2B8082",
        "#14686C", "#064F54",
    ],
    "chartDivergingColors": [
        "#7D2A1D", "#A5503A", "#C67D5F", "#DEAD91", "#EED9C6", "#D9E2D4", "#A7C9BF", "#6FA9A2",
        "#3A8580", "#0B5F5A",
    ],
}  # fmt: skip
_DARK: dict[str, Any] = {
    "primaryColor": "#E9A866",
    "backgroundColor": "#12191C",
    "secondaryBackgroundColor": "#1C262A",
    "textColor": "#EEE7D8",
    "linkColor": "#E9A866",
    "borderColor": "#34434A",
    "dataframeBorderColor": "#2B383E",
    "dataframeHeaderBackgroundColor": "#1C262A",
    "codeBackgroundColor": "#1C262A",
    "codeTextColor": "#E9A866",
    "redTextColor": "#F0907E",
    "greenTextColor": "#7FCDBF",
    "blueTextColor": "#BFDDD6",
    "blueBackgroundColor": "#1D2F32",
    "chartCategoricalColors": [
        "#5DB7AC", "#E9A866", "#8FA8D6", "#E0879A", "#BDB95A", "#B793D1", "#6CBCD8", "#C3A48A",
    ],
    "chartSequentialColors": [
        "#1A2529", "#1C3437", "#1F4546", "#245756", "#2B6A67", "#377F79", "#48958C", "#62ABA0",
        "#86C3B7", "#B5DCD2",
    ],
    "chartDivergingColors": [
        "#F0907E", "#D27563", "#AC5C4D", "#80473D", "#4D3532", "#2A4343", "#32625F", "#41837D",
        "#5AA59C", "#7FCDBF",
    ],
}  # fmt: skip
_TYPE: dict[str, Any] = {
    "font": "sans-serif",
    "headingFont": "serif",
    "headingFontSizes": ["2.1rem", "1.35rem", "1.1rem"],
    "headingFontWeights": [600, 600, 600],
    "baseFontSize": 16,
    "metricValueFontSize": "1.7rem",
    "metricValueFontWeight": 500,
    "baseRadius": "small",
    "buttonRadius": "small",
    "linkUnderline": True,
    "showWidgetBorder": True,
    "showSidebarBorder": True,
    "paddingTop": "3rem",
}
_SIDEBAR = {"headingFontSizes": ["1.2rem", "1rem", "1rem"]}


def theme_options() -> dict[str, Any]:
    """Options of Streamlit, by name; which of light and dark is shown is the reader's system's."""
    options = {f"theme.{name}": value for name, value in _TYPE.items()}
    options |= {f"theme.sidebar.{name}": value for name, value in _SIDEBAR.items()}
    for base, colours in (("light", _LIGHT), ("dark", _DARK)):
        options |= {f"theme.{base}.{name}": value for name, value in colours.items()}
        options[f"theme.{base}.sidebar.backgroundColor"] = colours["secondaryBackgroundColor"]
        options[f"theme.{base}.sidebar.secondaryBackgroundColor"] = colours["backgroundColor"]
    return options
